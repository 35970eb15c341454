"""Orders that repeat: kept, and placed whenever they are due."""
