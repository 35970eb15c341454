"""Budgets that run out, said in time and once."""
