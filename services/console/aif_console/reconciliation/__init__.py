"""What the ledger says was spent at a provider, against what the provider says: matched, and every difference named. Pure."""
