"""Random changes of image and mask, and named corruptions for tests."""
