"""A process and its surroundings: settings, bus, blobs, Postgres, worker loop, health, telemetry."""
