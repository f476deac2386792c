#include "storage/lvm_command.h"

#include "base/text.h"
#include "kernel/program.h"
#include "storage/program_meaning.h"

#include <algorithm>
#include <charconv>

namespace lxmgr::storage::lvm
{

namespace
{

/// The first that is found counts.
constexpr Meaning kMeanings[] = {
    {"device-mapper driver missing",   Code::Unsupported,   "this kernel has no device mapper: modprobe dm_mod"        },
    {"device-mapper target",           Code::Unsupported,   "this kernel has no thin volumes: modprobe dm_thin_pool"   },
    {"/dev/mapper/control",            Code::Unsupported,   "this kernel has no device mapper: modprobe dm_mod"        },
    {"thin_check",                     Code::Unsupported,   "install thin-provisioning-tools"                          },
    {"Failed to find logical volume",  Code::NotFound,      ""                                                         },
    {"not found in Volume group",      Code::NotFound,      ""                                                         },
    {"not found in volume group",      Code::NotFound,      ""                                                         },
    {"not found",                      Code::NotFound,      ""                                                         },
    {"Cannot process volume group",    Code::NotFound,      ""                                                         },
    {"already exists",                 Code::AlreadyExists, ""                                                         },
    {"contains a filesystem in use",   Code::WrongState,    ""                                                         },
    {"in use",                         Code::WrongState,    ""                                                         },
    {"signature",                      Code::WrongState,    ""                                                         },
    {"partition table",                Code::WrongState,    ""                                                         },
    {"is already in volume group",     Code::WrongState,    ""                                                         },
    {"insufficient free space",        Code::NoSpace,       ""                                                         },
    {"Insufficient",                   Code::NoSpace,       ""                                                         },
    {"reached threshold",              Code::NoSpace,       "make the pool larger, or delete something in it"          },
    {"free space in thin pool",        Code::NoSpace,       "make the pool larger, or delete something in it"          },
};

std::string onOneLine(std::string_view said)
{
    std::string text;
    for (const std::string &line : split(said, '\n')) {
        const std::string_view part = trimmed(line);
        if (!part.empty() && !part.starts_with("WARNING:"))
            text.append(text.empty() ? "" : "; ").append(part);
    }
    return text;
}

/// Neither what the host's lvm.conf hides, nor notes of every change in /etc, nor a daemon that watches.
std::string settings(const std::string &device)
{
    std::string text = "devices{use_devicesfile=0";
    if (!device.empty())
        text += " filter=[\"a|^" + device + "$|\",\"r|.*|\"]";
    return text + "} backup{archive=0} activation{monitoring=0}";
}

Result<std::uint64_t> parseCount(std::string_view text)
{
    std::uint64_t count = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (failed != std::errc() || end != text.data() + text.size())
        return Error(Code::Corrupt, "lvs: " + quoted(std::string(text)) + " is no number of bytes");
    return count;
}

Result<double> parsePercent(std::string_view text)
{
    if (text.empty())
        return 0.0;
    double percent = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), percent);
    if (failed != std::errc() || end != text.data() + text.size() || !(percent >= 0 && percent <= 100))
        return Error(Code::Corrupt, "lvs: " + quoted(std::string(text)) + " is no percentage");
    return percent;
}

const std::vector<std::string> kVolumeColumns = {
    "--noheadings", "--separator", "|", "--units", "b", "--nosuffix", "-o",
    "lv_name,lv_size,data_percent,metadata_percent,pool_lv,lv_tags"};

} // namespace

Error errorOf(std::string_view program, std::string_view said)
{
    const std::string text = onOneLine(said);
    return meant(std::string(program) + ": " + (text.empty() ? "failed without a word" : text), said, kMeanings);
}

Result<std::string> run(std::string_view program, const std::vector<std::string> &words, const std::string &device)
{
    auto path = program::find(std::string(program));
    if (!path)
        return std::move(path.error()).as(Code::Unsupported).hint("install lvm2");
    std::vector<std::string> command{*path, "--config", settings(device)};
    command.insert(command.end(), words.begin(), words.end());
    const program::Output ended = TRY(program::run(
        command, {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LVM_SUPPRESS_FD_WARNINGS=1"}, program::Errors::Apart));
    if (ended.status != 0)
        return errorOf(program, ended.errors);
    return ended.text;
}

Status command(std::string_view program, const std::vector<std::string> &words, const std::string &device)
{
    (void)TRY(run(program, words, device));
    return {};
}

Status tool(const std::string &program, const std::string &package, const std::vector<std::string> &words)
{
    auto path = program::find(program);
    if (!path)
        return std::move(path.error()).as(Code::Unsupported).hint("install " + package);
    std::vector<std::string> command{*path};
    command.insert(command.end(), words.begin(), words.end());
    const program::Output ended =
        TRY(program::run(command, {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, program::Errors::Keep));
    // fsck(8): 1 says that it has put something right.
    if (ended.status == 0 || (program == "e2fsck" && ended.status == (1 << 8)))
        return {};
    return Error(Code::Internal, program + ": " + onOneLine(ended.text));
}

Result<std::vector<Volume>> parseVolumes(std::string_view text)
{
    std::vector<Volume> volumes;
    for (const std::string &line : split(text, '\n')) {
        if (trimmed(line).empty())
            continue;
        const auto parts = split(trimmed(line), '|');
        if (parts.size() != 6 || parts[0].empty())
            return Error(Code::Corrupt, "lvs: cannot read the line " + quoted(line));
        Volume volume;
        volume.name = parts[0];
        volume.size = Bytes{TRY(parseCount(parts[1]))};
        volume.dataPercent = TRY(parsePercent(parts[2]));
        volume.metadataPercent = TRY(parsePercent(parts[3]));
        volume.pool = parts[4];
        if (!parts[5].empty())
            volume.tags = split(parts[5], ',');
        volumes.push_back(std::move(volume));
    }
    return volumes;
}

Result<std::vector<Volume>> listVolumes(const std::string &group, const std::string &device)
{
    std::vector<std::string> words = kVolumeColumns;
    words.push_back(group);
    return parseVolumes(TRY(run("lvs", words, device)));
}

Result<Volume> findVolume(const std::string &group, const std::string &name)
{
    std::vector<std::string> words = kVolumeColumns;
    words.push_back(group + "/" + name);
    auto volumes = TRY(parseVolumes(TRY(run("lvs", words))));
    if (volumes.size() != 1)
        return Error(Code::Corrupt, "lvs: lists " + std::to_string(volumes.size()) + " volumes of the name " + quoted(name));
    return std::move(volumes.front());
}

Status checkName(std::string_view what, std::string_view name)
{
    // lvm(8), "Valid names": no hyphen first, not "." and "..".
    const bool good = !name.empty() && name.size() <= 100 && name.front() != '-' && name != "." && name != ".." &&
                      std::ranges::all_of(name, [](char c) {
                          return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                                 c == '.' || c == '-' || c == '+';
                      });
    return good ? Status()
                : Status(Error(Code::Invalid, quoted(std::string(name)) + " cannot be the name of a " + std::string(what) +
                                                  ": letters, digits, '_', '.', '+' and '-', which is not first"));
}

Result<std::pair<std::string, std::string>> parseMapperName(std::string_view text)
{
    std::string parts[2];
    std::size_t part = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '-') {
            parts[part] += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '-') {
            parts[part] += '-';
            ++i;
        } else if (++part > 1) {
            break;
        }
    }
    if (part != 1 || parts[0].empty() || parts[1].empty())
        return Error(Code::Invalid, quoted(std::string(text)) + " is no logical volume");
    return std::pair(parts[0], parts[1]);
}

} // namespace lxmgr::storage::lvm
