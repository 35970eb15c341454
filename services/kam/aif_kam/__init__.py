"""The gateway: the HTTP face of the factory, and the door for orders of other systems."""
