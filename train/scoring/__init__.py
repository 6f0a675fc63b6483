"""Figures of a trained model, each with n and a 95 % interval."""
