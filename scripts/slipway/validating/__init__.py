"""Floor 4: one delivery of data as validate-data works on it: brought, identified, opened, held against all rules."""
