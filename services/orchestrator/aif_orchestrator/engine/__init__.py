"""The shell around the pure core: takes what has happened, stores what follows, then lets it out."""
