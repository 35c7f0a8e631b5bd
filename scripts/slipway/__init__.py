"""What the stages share, in floors: a module imports only from its own floor's package or from a lower floor."""

import gc

# A stage is a short process that makes thousands of classes at its start, none of them garbage. With Python's default
# of 700 the collector walks through all of them again and again: a tenth of the time until the first work.
gc.set_threshold(100_000, 20, 20)
