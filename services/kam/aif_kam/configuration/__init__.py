"""What people configure while the factory runs: kept here, shown to every process through a bucket of the broker."""
