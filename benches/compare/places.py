"""Where things lie."""

import pathlib

COMPARE = pathlib.Path(__file__).resolve().parent
REPO = COMPARE.parent.parent
RESULTS = REPO / "benches" / "results"
WORK = COMPARE / ".work"
LIBS = WORK / "libs"
KABUKI = REPO / "target" / "release" / "kabuki"
