"""Lung nodules found, and shown where: data, made nodules, training, scoring of the nodule detector."""
