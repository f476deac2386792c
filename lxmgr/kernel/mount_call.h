// What a call of mount(2) asks for, in the terms of fsconfig(2) and fsmount(2): to be carried out for somebody who is not trusted.
#pragma once

#include "base/result.h"
#include "kernel/mount.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::mount
{

/// File systems that a guest can have mounted from its devices. No btrfs: it finds its devices by what they say they are, and so
/// those of others too.
inline constexpr std::array<std::string_view, 5> kCallTypes = {"ext2", "ext3", "ext4", "squashfs", "xfs"};

/// Above the flags that there are; with this in it all of them mean nothing (programs for Linux before 2.4).
inline constexpr std::uint64_t kMagicMask = 0xffff0000, kMagic = 0xC0ED0000;
/// Flags with which mount(2) makes no new mount.
inline constexpr std::uint64_t kOtherCalls = 32 /* MS_REMOUNT */ | 4096 /* MS_BIND */ | 8192 /* MS_MOVE */ | 1 << 17 /* MS_UNBINDABLE */ |
                                             1 << 18 /* MS_PRIVATE */ | 1 << 19 /* MS_SLAVE */ | 1 << 20 /* MS_SHARED */;

constexpr std::uint64_t withoutMagic(std::uint64_t flags) { return (flags & kMagicMask) == kMagic ? flags & ~kMagicMask : flags; }
constexpr bool makesNewMount(std::uint64_t flags) { return (withoutMagic(flags) & kOtherCalls) == 0; }

struct CallPlan {
    Options options;         ///< For fsconfig(2), without the source.
    unsigned attributes = 0; ///< For fsmount(2): never without nosuid and nodev.
    bool readOnly = false;   ///< The device is only read from.
};
/// Forbidden for options that reach beyond the device or the guest: other devices, labels, a panic when the file system is
/// damaged (which is off whatever the superblock says). The number by which xfs tells file systems apart is not looked at: a
/// guest's could keep one of the host's from being mounted.
/// Source: mount(2), ext4(5), xfs(5), Documentation/filesystems/squashfs.rst.
Result<CallPlan> planCall(std::string_view type, std::uint64_t flags, const std::string &data);

/// The same as the text behind -o of mount(8) and what comes with it: "ro,noatime,data=ordered".
std::string optionText(std::uint64_t flags, const std::string &data);

} // namespace lxmgr::mount
