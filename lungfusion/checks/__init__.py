"""Is it a frontal chest radiograph, and upright?"""
