// Which machine a program is for, by the first bytes of its file.
#pragma once

#include <string>
#include <string_view>

namespace lxmgr::images
{

/// "x86_64", "aarch64", … as uname -m says it; "" if `bytes` do not start an ELF file of a machine we know.
std::string elfMachine(std::string_view bytes);

} // namespace lxmgr::images
