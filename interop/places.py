"""Where things lie, and how a Java program is run with them."""

import pathlib

INTEROP = pathlib.Path(__file__).resolve().parent
REPO = INTEROP.parent
WORK = INTEROP / ".work"
LIBS = WORK / "libs"
CLASSES = WORK / "classes"
GO_PROGRAMS = WORK / "go"
RUST_PROGRAM = WORK / "rust" / "debug" / "interop-rdkafka"
NODE_MODULES = WORK / "npm" / "node_modules"
KABUKI = REPO / "target" / "release" / "kabuki"


def java(main, *arguments, heap="256m"):
    """The command line of a Java program on the class path of the suite."""
    return [
        "java",
        # Start-up counts here, not peak speed: each tool call is a process of its own.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Xmx{heap}",
        f"-Dlog4j2.configurationFile={INTEROP / 'log4j2.properties'}",
        "-cp",
        f"{CLASSES}:{LIBS}/*",
        main,
        *arguments,
    ]
