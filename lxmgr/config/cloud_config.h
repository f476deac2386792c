// #cloud-config: the part of it that is applied to images without cloud-init of their own.
#pragma once

#include "base/result.h"
#include "base/types.h"
#include "config/yaml.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::config
{

/// The three texts, and by which spelling of its key each came: cloud-init.user-data goes before user.user-data.
struct CloudTexts {
    struct Text {
        std::string key;   ///< "cloud-init.user-data", "user.user-data".
        std::string value; ///< "" for none.
    };
    Text user, vendor, network;

    static CloudTexts of(const StringMap &expanded);
    /// Something is to be applied.
    bool any() const { return !user.value.empty() || !vendor.value.empty(); }
};

struct CloudGroup {
    std::string name;
    std::vector<std::string> members;
    bool operator==(const CloudGroup &) const = default;
};

struct CloudUser {
    std::string name;
    std::string gecos, home, shell; ///< "": as the guest has it.
    std::string primaryGroup;       ///< "": one of the user's name.
    std::vector<std::string> groups;
    std::vector<std::string> sudo; ///< Rules of sudoers(5), without the name in front.
    std::vector<std::string> keys; ///< Lines of authorized_keys.
    std::string newPasswordHash;   ///< crypt(5), of a user that is not there yet; "" for none.
    std::string passwordHash;      ///< crypt(5), over the password itself; "" for none.
    std::string password;          ///< "" for none.
    bool locked = true;            ///< The password does not let anybody in.
    std::uint32_t uid = 0;         ///< 0: the next free one.
    bool system = false;
    bool createHome = true;
    bool operator==(const CloudUser &) const = default;
};

/// Of a user that is there by then.
struct CloudPassword {
    enum class Kind { Hash, Text, Random };
    std::string user;
    Kind kind = Kind::Hash;
    std::string value; ///< "" of Random.
    bool operator==(const CloudPassword &) const = default;
};
/// Where the guest's root finds those that were made up.
inline constexpr std::string_view kMadeUpPasswords = "/root/cloud-init-passwords";

struct CloudFile {
    std::string path;
    std::string content; ///< Decoded.
    std::string user = "root", group = "root";
    std::uint32_t mode = 0644;
    bool append = false;
    bool operator==(const CloudFile &) const = default;
};

/// A line for sh(1), or a program with its arguments.
struct CloudCommand {
    std::string line;
    std::vector<std::string> argv; ///< Empty: `line` counts.
    bool operator==(const CloudCommand &) const = default;
};

struct CloudConfig {
    std::string hostname, fqdn;
    bool manageHosts = false;
    std::string timezone;
    std::vector<CloudGroup> groups;
    std::vector<CloudUser> users;
    std::vector<std::string> rootKeys;
    std::vector<CloudPassword> passwords; ///< In their order: the last one of a user counts.
    bool expirePasswords = true;          ///< Whoever logs in with one of these has to choose another.
    std::optional<bool> sshPasswords;     ///< sshd lets in with a password; unset: as it is.
    std::vector<CloudFile> files;
    bool packageUpdate = false, packageUpgrade = false;
    std::vector<std::string> packages; ///< "name" or "name=version".
    std::vector<CloudCommand> bootcmd, runcmd;
    std::vector<std::string> programs; ///< User data that is a program ("#!/bin/sh"), or parts that are.

    std::vector<std::string> warnings; ///< "cloud-init.user-data:7:1: 'ntp' is not …"
};

/// What is asked for of a guest whose image has no cloud-init. What user data says goes before vendor data, key by key.
/// Invalid as "<key>:<line>:<column>: what" for what is malformed; Unsupported for another form than #cloud-config, a
/// program or a MIME message of these, and for values that an image's own cloud-init may take. Modules and members that
/// are not applied are warnings. No error and no warning has a password in it.
Result<CloudConfig> readCloudConfig(const CloudTexts &texts);

/// The texts of `after` that `before` does not have are malformed in no way that shows whatever the image is: an image may
/// bring its own cloud-init, which takes more. Invalid as above.
Status checkCloudTexts(const StringMap &before, const StringMap &after);

/// What is run in the guest once it has booted: a program for sh(1), empty where nothing is to be run.
struct CloudScript {
    std::string text;
    std::vector<std::string> steps; ///< What step 1, 2, … is, for people: "runcmd 2 (systemctl restart nginx)".
    std::vector<std::string> programs; ///< User data that is a program, or several; the script starts them.
};
/// Where the script looks for the program of that number, below its folder.
std::string cloudProgramName(std::size_t number);
/// Its folder in the guest, on a file system that dies with each boot.
inline constexpr std::string_view kCloudFolder = "/run/lxmgr-cloud-init";
CloudScript cloudScript(const CloudConfig &config);

/// What the script left in `status` of its folder.
struct CloudStatus {
    bool ended = false;
    std::string failure; ///< "runcmd 2 (false) ended with status 1; …", "" for none.
};
CloudStatus readCloudStatus(std::string_view text, const std::vector<std::string> &steps);

} // namespace lxmgr::config
