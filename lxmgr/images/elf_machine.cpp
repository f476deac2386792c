#include "images/elf_machine.h"

#include <elf.h>

namespace lxmgr::images
{

namespace
{

struct Machine {
    unsigned elf;
    bool littleEndian;
    std::string_view name;
};

constexpr unsigned kLoongArch = 258; // newer than some elf.h
constexpr Machine kMachines[] = {
    {EM_X86_64, true, "x86_64"},  {EM_AARCH64, true, "aarch64"}, {EM_386, true, "i686"},      {EM_ARM, true, "armv7l"},
    {EM_PPC64, true, "ppc64le"},  {EM_S390, false, "s390x"},     {EM_RISCV, true, "riscv64"}, {kLoongArch, true, "loongarch64"},
};

} // namespace

std::string elfMachine(std::string_view bytes)
{
    if (bytes.size() < 20 || !bytes.starts_with(ELFMAG))
        return {};
    const bool littleEndian = bytes[EI_DATA] == ELFDATA2LSB;
    const unsigned first = static_cast<unsigned char>(bytes[18]);
    const unsigned second = static_cast<unsigned char>(bytes[19]);
    const unsigned machine = littleEndian ? first | second << 8 : first << 8 | second;
    for (const Machine &row : kMachines)
        if (row.elf == machine && row.littleEndian == littleEndian)
            return std::string(row.name);
    return {};
}

} // namespace lxmgr::images
