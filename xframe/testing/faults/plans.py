"""The plans that faults train under. All train on the digits, 1,797 samples in batches of 64.

A pass has 29 steps, 0 to 28, and the last of them 5 samples.
"""

from xframe.plan.training_plan import TrainingPlan
from xframe.testing.faults.bases import changed

PLAN = TrainingPlan(batch_size=64, epochs=2)  # steps 0 to 28 and 29 to 57
VALIDATED = changed(PLAN, validation_every=1)  # after steps 28 and 57, on 360 samples: the last batch has 40
DROPPED = changed(PLAN, remainder="drop")  # steps 0 to 27 and 28 to 55
PADDED = changed(PLAN, remainder="pad")
CARRIED = changed(PLAN, remainder="carry")  # step 28 has 5 samples of the first pass and 59 of the second
KEPT_ORDER = changed(PLAN, reshuffle=False)
FORTY_STEPS = changed(PLAN, steps=40)
# Epochs of 20 steps, where a pass has 29.
RESTARTED = changed(PLAN, epochs=3, steps_per_epoch=20)
CONTINUED = changed(RESTARTED, epoch_iterator="continue")
REPEATED = changed(CONTINUED, epochs=4)
SHORTENED = changed(REPEATED, on_exhaustion="short_epoch")  # epochs of 20, 9, 20 and 9 steps
# Windows of four: seven in a pass, and one step, step 28, is left.
FOURS = changed(PLAN, gradient_accumulation_steps=4)
FOURS_12_STEPS = changed(FOURS, epochs=None, steps=12)
FOURS_29_STEPS = changed(FOURS, epochs=None, steps=29)
FOURS_DROPPED = changed(FOURS, accumulation_remainder="drop")
FOURS_LEAKED = changed(FOURS, accumulation_remainder="leak")
FOURS_CARRIED = changed(FOURS, accumulation_remainder="carry")  # two steps are left when training ends
FOURS_FLUSHED_AT_END = changed(FOURS_CARRIED, accumulation_at_end="flush")
FOURS_SHORTENED = changed(SHORTENED, gradient_accumulation_steps=4)
# Windows of three: two steps are left, the second of them of 5 samples.
THREES = changed(PLAN, gradient_accumulation_steps=3)
THREES_BY_SAMPLES = changed(THREES, loss_normalization="samples")
# Epochs of 18 steps: cut by epochs, an update follows step 17; by passes, step 19.
CUT_BY_EPOCHS = changed(CONTINUED, steps_per_epoch=18, gradient_accumulation_steps=4)
CUT_BY_PASSES = changed(CUT_BY_EPOCHS, accumulation_boundary="pass")
