"""From a judged candidate to production: how risky it is, what exactly is approved, and by whom."""
