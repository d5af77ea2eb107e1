"""What the machine code of a plug-in holds: its kernels, and what each takes on each architecture.

Walks the fat binaries in the file: a container (magic 0xba55ed50, header of 16 bytes, then the size of
what follows) of entries {u16 kind, u16, u32 header size, u64 payload size, u64, u32, u32 sm}; kind 2 is
machine code, an ELF file with a section .text.KERNEL and, for its shared memory, .nv.shared.KERNEL.
Section .nv.info says per symbol, as {u8 4, u8 attribute, u16 8, u32 symbol, u32 value}, how many registers a
thread takes (attribute 0x2f) and how much of local memory its frame (0x11), which is 0 where nothing spills.
"""
import re
import struct
import subprocess

MAGIC = struct.pack("<I", 0xBA55ED50)
REGISTERS, FRAME = 0x2F, 0x11


def modules(path):
    """Pairs of architecture and machine code."""
    with open(path, "rb") as file:
        data = file.read()
    at = data.find(MAGIC)
    while at >= 0:
        _, _, header, size = struct.unpack_from("<IHHQ", data, at)
        entry, end = at + header, at + header + size
        while entry < end:
            kind, _, entry_header, payload, _, _, sm = struct.unpack_from("<HHIQQII", data, entry)
            if kind == 2:
                yield sm, data[entry + entry_header:entry + entry_header + payload]
            entry += entry_header + payload
        at = data.find(MAGIC, max(end, at + 4))


def text_at(table, at):
    return table[at:table.index(b"\0", at)].decode()


def sections(elf):
    """(name, type, content, size in memory) of each section."""
    if elf[:4] != b"\x7fELF":
        raise ValueError("machine code that is no ELF file; is the fat binary compressed?")
    (table,), (size, count, names) = struct.unpack_from("<Q", elf, 0x28), struct.unpack_from("<HHH", elf, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    name_table = elf[heads[names][4]:heads[names][4] + heads[names][5]]
    return [(text_at(name_table, name), kind, elf[at:at + length], length) for name, kind, _, _, at, length in heads]


def attributes(info, attribute):
    """Symbol number -> value."""
    values, at = {}, 0
    while at < len(info):
        form, which, size = struct.unpack_from("<BBH", info, at)
        if form == 4 and which == attribute:
            symbol, value = struct.unpack_from("<II", info, at + 4)
            values[symbol] = value
        at += 4 + (size if form == 4 else 0)
    return values


def symbol_names(elf_sections):
    content = {name: data for name, _, data, _ in elf_sections}
    count = len(content[".symtab"]) // 24
    return [text_at(content[".strtab"], struct.unpack_from("<I", content[".symtab"], 24 * i)[0]) for i in range(count)]


def readable(mangled):
    """KERNEL or KERNEL<ARGUMENTS>."""
    name = subprocess.run(["c++filt", mangled], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    for noise in (r"^void ", r"\(anonymous namespace\)::", r"\(int\)", r"\w+::", r"\(.*$"):
        name = re.sub(noise, "", name)
    return name


def kernels(path):
    """(kernel, sm) -> registers of a thread, shared memory of a block, local memory of a thread (both in bytes)."""
    found = {}
    for sm, elf in modules(path):
        parts = sections(elf)
        content = {name: data for name, _, data, _ in parts}
        size = {name: length for name, _, _, length in parts}
        names, info = symbol_names(parts), content.get(".nv.info", b"")
        registers, frames = attributes(info, REGISTERS), attributes(info, FRAME)
        for symbol, count in registers.items():
            name = names[symbol]
            found[readable(name), sm] = (count, size.get(f".nv.shared.{name}", 0), frames.get(symbol, 0))
    return found
