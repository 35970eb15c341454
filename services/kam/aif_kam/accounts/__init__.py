"""Who may use the factory: clients, and the API keys that they and the operator call with."""
