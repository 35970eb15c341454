"""Run the service that this image was built for, as `python -m aif_<service>` would, in this same process.

An ENTRYPOINT without a shell cannot contain a variable, and a shell in front would swallow the signals.
"""

import os
import runpy

if __name__ == "__main__":
    runpy.run_module(f"aif_{os.environ['SERVICE']}", run_name="__main__", alter_sys=True)
