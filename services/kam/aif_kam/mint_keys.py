"""`python -m aif_kam.mint_keys` prints a new pepper and new keys, as the environment variables that the gateway reads."""

import secrets
import sys

from aif_kam.api_keys import mint_api_key


def main() -> None:
    sys.stdout.write(f"AIF_KEY_PEPPER={secrets.token_hex(32)}\n")
    sys.stdout.write("AIF_BOOTSTRAP_CLIENT_ID=local\n")
    sys.stdout.write(f"AIF_BOOTSTRAP_CLIENT_KEY={mint_api_key()}\n")
    sys.stdout.write(f"AIF_BOOTSTRAP_ADMIN_KEY={mint_api_key()}\n")


if __name__ == "__main__":
    main()
