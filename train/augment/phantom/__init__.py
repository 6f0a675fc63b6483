"""The phantom: chests drawn by physics, for examples, tests and tiny trainings, and what is no frontal chest."""
