"""Approvals: what was said by whom, and whether it is enough. Rules only; GitHub is read elsewhere."""
