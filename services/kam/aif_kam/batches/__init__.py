"""Many orders in one call: checked together, stored together, submitted one by one."""
