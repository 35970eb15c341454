"""Everything on one machine: the servers, the services, and what keeps them alive."""
