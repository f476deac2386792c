// The table of keys of custom volumes, and those of others that are known and refused.
#pragma once

#include "config/volume_config.h"

#include <algorithm>

namespace lxmgr::config
{

using V = VolumeConfig;

// clang-format off
inline constexpr Key<V> kVolumeKeys[] = {
    {"initial.gid",       field<&V::gid>,              Apply::Daemon,  "0",      "At creation: group of its top folder, as guests see it."},
    {"initial.mode",      field<&V::mode>,             Apply::Daemon,  "0711",   "At creation: permissions of its top folder, octal."},
    {"initial.uid",       field<&V::uid>,              Apply::Daemon,  "0",      "At creation: owner of its top folder, as guests see it."},
    {"security.shifted",  field<&V::shifted>,          Apply::Restart, "true",   "Every guest sees the owners as its own numbers; false is not offered (security.unmapped is)."},
    {"security.unmapped", field<&V::unmapped>,         Apply::Restart, "false",  "Owners are the host's numbers, which guests that have ids of their own see as nobody."},
    {"size",              field<&V::size>,             Apply::Live,    "no limit", "Most that it may take; 0 is no limit."},
    {"snapshots.expiry",  field<&V::snapshotsExpiry>,  Apply::Live,    "never",  "How long snapshots are kept: 2w, or 1d 12H (M minutes, H hours, d days, w weeks, m months, y years)."},
    {"snapshots.expiry.manual", field<&V::snapshotsExpiryManual>, Apply::Live, "snapshots.expiry", "The same for snapshots that a person asks for."},
    {"snapshots.pattern", field<&V::snapshotsPattern>, Apply::Live,    "snap%d", "Names of snapshots made without one."},
    {"snapshots.schedule", field<&V::snapshotsSchedule>, Apply::Live, "",      "When they are made: @hourly, @daily or a line of crontab(5); several with ';', each with name and keep: 'night: 0 3 * * * keep=7; @hourly keep=24'."},
    {"user.*",            field<&V::user>,             Apply::Live,    "",       "Free text for people and tools."},
};
// clang-format on
static_assert(std::ranges::is_sorted(kVolumeKeys, {}, &Key<V>::name));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedVolumeKeys[] = {
    "block.*", "lvm.*", "lvmcluster.*", "security.shared", "volatile.*", "zfs.*",
};
static_assert(std::ranges::is_sorted(kUnsupportedVolumeKeys));

} // namespace lxmgr::config
