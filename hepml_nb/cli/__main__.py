"""`python -m hepml_nb.cli` is `hepml-nb`."""

from hepml_nb.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
