// Extended attributes and access lists of files, into and out of archives; only those an image may carry (security-model I4).
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>

struct archive_entry;

namespace lxmgr::images
{

/// Sets on `file` what `entry` carries and an image may: security.capability (for the root of whoever mounts it), user.*, and POSIX
/// access lists. The count of those left out.
Result<std::uint32_t> setAttributes(archive_entry *entry, const Fd &file, bool isFolder);
/// Puts the same kinds from `file` into `entry`.
Status addAttributes(const Fd &file, archive_entry *entry);
/// Removes from `file` what an image may not carry. The count of those removed.
Result<std::uint32_t> removeForeignAttributes(const Fd &file);

} // namespace lxmgr::images
