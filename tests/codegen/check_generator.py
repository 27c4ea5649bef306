#!/usr/bin/python3
"""What protoc-gen-zactor refuses, and that its answer tells the author what to write.

check_generator.py <protoc> <plugin> <proto dir>
"""

import pathlib
import subprocess
import sys
import tempfile

PROTOC, PLUGIN, PROTO_DIR = sys.argv[1:4]
HEAD = 'syntax = "proto3";\npackage t;\n'

# name: (.proto, .options, part of the answer; None: accepted)
CASES = {
    "accepted": (HEAD + "message M { string a = 1; }", "", None),
    "bounded": (HEAD + "message M { repeated string a = 1; }", "t.M.a max_count:2 max_size:4", None),
    "repeated": (HEAD + "message M { repeated uint32 a = 1; }", "", "write `t.M.a max_count:N` into"),
    "map": (HEAD + "message M { map<uint32, uint32> a = 1; }", "", "write `t.M.a max_count:N` into"),
    "repeated_text": (HEAD + "message M { repeated string a = 1; }", "t.M.a max_count:2",
                      "write `t.M.a max_size:N`"),
    "oneof_text": (HEAD + "message M { oneof o { string a = 1; } }", "", "write `t.M.a max_size:N`"),
    "recursive": (HEAD + "message M { M a = 1; }", "", "must not contain itself"),
    "mutual": (HEAD + "message A { B b = 1; } message B { A a = 1; }", "", "must not contain itself"),
    "proto2": ('syntax = "proto2";\nmessage M { optional uint32 a = 1; }', "", 'syntax = "proto3"'),
    "unmatched": (HEAD + "message M { string a = 1; }", "t.M.b max_size:4", "t.M.b matches no field"),
    "option": (HEAD + "message M { string a = 1; }", "t.M.a type:FT_POINTER", "type is not supported"),
    "value": (HEAD + "message M { string a = 1; }", "t.M.a max_size:many", "must be a number above 0"),
    "zero": (HEAD + "message M { string a = 1; }", "t.M.a max_size:0", "must be a number above 0"),
    "meaningless": (HEAD + "message M { uint32 a = 1; }", "t.M.a max_size:4", "means nothing"),
    "huge": (HEAD + "message M { string a = 1; }", "t.M.a max_size:70000", "is over"),
    "number": (HEAD + "message M { uint32 a = 65536; }", "", "field numbers end at 65535"),
    "well_known": (HEAD + 'import "google/protobuf/timestamp.proto";\n'
                   "message M { google.protobuf.Timestamp a = 1; }", "", "well-known types"),
}


def run(proto, options):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "t.proto").write_text(proto)
        (root / "t.options").write_text(options)
        (root / "google/protobuf").mkdir(parents=True)
        (root / "google/protobuf/timestamp.proto").write_text(
            'syntax = "proto3";\npackage google.protobuf;\nmessage Timestamp { int64 seconds = 1; }')
        command = [PROTOC, f"-I{root}", f"-I{PROTO_DIR}", f"--plugin=protoc-gen-zactor={PLUGIN}",
                   f"--zactor_opt=I={root}", f"--zactor_out={root}", "t.proto"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, (root / "t.za.h").exists()


def main():
    failed = 0
    for name, (proto, options, expected) in CASES.items():
        status, text, written = run(proto, options)
        good = (status == 0 and written) if expected is None else (status != 0 and expected in text)
        if not good or "Traceback" in text:
            failed += 1
            print(f"{name}: expected {expected!r}, got status {status}: {text}")
    print(f"{len(CASES) - failed} of {len(CASES)} as expected")
    return 1 if failed else 0


sys.exit(main())
