"""cuda_architectures.py LIBRARY: the plug-in holds machine code for sm_80, sm_90 and sm_100.

Walks the fat binaries in the file: a container (magic 0xba55ed50, header of 16 bytes, then the size of
what follows) of entries {u16 kind, u16, u32 header size, u64 payload size, u64, u32, u32 sm}; kind 2 is
machine code.
"""
import collections
import struct
import sys

MAGIC = struct.pack("<I", 0xBA55ED50)
data = open(sys.argv[1], "rb").read()
modules = collections.Counter()
at = data.find(MAGIC)
while at >= 0:
    _, _, header, size = struct.unpack_from("<IHHQ", data, at)
    entry, end = at + header, at + header + size
    while entry < end:
        kind, _, entry_header, payload, _, _, sm = struct.unpack_from("<HHIQQII", data, entry)
        modules[(kind, sm)] += 1
        entry += entry_header + payload
    at = data.find(MAGIC, max(end, at + 4))
for sm in (80, 90, 100):
    print(f"sm_{sm}: {modules[(2, sm)]} modules")
    if modules[(2, sm)] < 9:
        sys.exit(f"expected machine code of the 9 ops for sm_{sm}, found {dict(modules)}")
