"""`python -m trainwell` is the command line."""

from trainwell.cli import main

if __name__ == "__main__":
    main()
