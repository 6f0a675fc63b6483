"""Training, evaluation and publishing of the models in `lungfusion.models`; run from a clone of the repository."""

import os

# Said before torch is imported: threads with nothing to do sleep. As OpenMP has it they spin, and beside another busy
# process each step then waits for those that the other keeps from their core: ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
