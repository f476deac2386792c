// The programs of LVM: how they are run, what they list, what their words mean.
// Source: lvm(8), lvmthin(7), lvs(8) of lvm2 2.03.
#pragma once

#include "base/result.h"
#include "base/types.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::storage::lvm
{

/// Runs a program of LVM ("lvcreate") to its end and gives what it printed. `device`: the only one it looks at, or "".
/// What it says on failure is the error: NotFound, AlreadyExists, WrongState (in use), NoSpace, Unsupported (no such
/// program, or a kernel without device mapper).
Result<std::string> run(std::string_view program, const std::vector<std::string> &words, const std::string &device = {});
/// The same for what prints nothing that counts.
Status command(std::string_view program, const std::vector<std::string> &words, const std::string &device = {});
/// Any other program that works on a device, such as mkfs.ext4; `package` has it. Internal with what it said.
Status tool(const std::string &program, const std::string &package, const std::vector<std::string> &words);

/// What one of them said when it failed, on one line, with the code that it means.
Error errorOf(std::string_view program, std::string_view said);

struct Volume {
    std::string name;
    Bytes size;
    double dataPercent = 0;     ///< Of its size; of a thin pool how full it is.
    double metadataPercent = 0; ///< Of a thin pool.
    std::string pool;           ///< The thin pool it is in, "" for none.
    std::vector<std::string> tags;

    Bytes used() const { return Bytes{static_cast<std::uint64_t>(static_cast<double>(size.count) * dataPercent / 100)}; }
};
/// What "lvs" prints for kVolumeColumns. Corrupt: a line that is not so.
Result<std::vector<Volume>> parseVolumes(std::string_view text);
/// All of a volume group. NotFound: no such group.
Result<std::vector<Volume>> listVolumes(const std::string &group, const std::string &device = {});
/// One. NotFound.
Result<Volume> findVolume(const std::string &group, const std::string &name);

/// Whether the text can be the name of a volume group, thin pool or volume. Invalid.
Status checkName(std::string_view what, std::string_view name);
/// "group-volume" of the device mapper → both; a "-" in either is doubled there. Invalid.
Result<std::pair<std::string, std::string>> parseMapperName(std::string_view text);

} // namespace lxmgr::storage::lvm
