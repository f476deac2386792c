// Where an archive is written to: a file that has its name only when it is whole, standard output, or a device.
#pragma once

#include "base/result.h"

#include <functional>
#include <string>

namespace lxmgr::cli
{

/// "web1.tar.gz": what an archive of `name` is called unless told; "" is gzip.
std::string archiveName(const std::string &name, const std::string &compression);

/// Has `write` write to what `word` names: a file, a folder (then `name` in it), a pipe or device, "-" for standard
/// output, "" for `name` here. Its path, "" for standard output. Usage: that is a terminal (`pipe` says how to do it).
Result<std::string> writeArchive(const std::string &word, const std::string &name, const std::string &pipe,
                                 const std::function<Status(int fd)> &write);

} // namespace lxmgr::cli
