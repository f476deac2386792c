#include "config/cloud_config.h"

#include "base/base64.h"
#include "base/text.h"
#include "config/cloud_parts.h"
#include "config/values.h"

#include <algorithm>
#include <set>

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kMostEntries = 1000;
constexpr YamlLimits kLimits{2U << 20, 32, 100'000}; ///< A part of 1 MiB, with empty lines in front.
constexpr std::size_t kMostContent = 16U << 20; ///< Of all files, decoded.
constexpr std::size_t kLongestPassword = 511;   ///< CRYPT_MAX_PASSPHRASE_SIZE of crypt(3), with its end.

struct Reader {
    std::string key; ///< Whose text is being read: the "file" of errors.
    CloudConfig &config;
    std::size_t content = 0;

    Error bad(const YamlNode &at, const std::string &what) const { return yamlError(key, at, what); }
    /// What an image's own cloud-init may well take.
    Error unfit(const YamlNode &at, const std::string &what) const { return bad(at, what).as(Code::Unsupported); }
    void warn(const YamlNode &at, const std::string &what) { config.warnings.push_back(yamlKeyError(key, at, what).message); }
    Result<std::string> text(const YamlNode &node, const std::string &what) const { return yamlText(node, key, what); }
};

bool isWord(std::string_view text, std::string_view others, std::size_t most)
{
    return !text.empty() && text.size() <= most && text.front() != '-' && std::ranges::all_of(text, [&](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(static_cast<char>(c)) != others.npos;
    });
}

/// What useradd(8) takes, and no tool misreads.
Result<std::string> accountName(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::string name = TRY(reader.text(node, what));
    if (name.empty() || name.find_first_of(":/\n") != std::string::npos)
        return reader.bad(node, what + " " + quoted(name) + " is no name of an account");
    if (!isWord(name, "_.-$", 32) || (name.front() >= '0' && name.front() <= '9'))
        return reader.unfit(node, what + " " + quoted(name) + " is no name of an account");
    return name;
}

/// A field of passwd(5): no colon, no second line.
Result<std::string> accountField(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::string text = TRY(reader.text(node, what));
    if (text.find_first_of(":\n") != std::string::npos)
        return reader.bad(node, what + " must be of one line, without ':'");
    return text;
}

Result<std::string> absolutePath(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::string path = TRY(reader.text(node, what));
    if (path.empty() || path.front() != '/' || path.size() > 4095 || path.find('\0') != std::string::npos)
        return reader.bad(node, what + " must be an absolute path, not " + quoted(path));
    return path;
}

/// A name that is part of a longer text, or a key, with the place of what it comes from.
YamlNode wordAt(std::string_view word, std::uint32_t line, std::uint32_t column)
{
    YamlNode node = YamlNode::text(std::string(word));
    node.line = line;
    node.column = column;
    return node;
}

/// One text, or a list of them.
Result<std::vector<std::string>> oneOrMore(const Reader &reader, const YamlNode &node, const std::string &what)
{
    if (node.kind == YamlNode::Kind::Scalar)
        return std::vector{node.scalar};
    return yamlStrings(node, reader.key, what);
}

Status checkSequence(const Reader &reader, const YamlNode &node, const std::string &what)
{
    if (node.kind != YamlNode::Kind::Sequence && node.kind != YamlNode::Kind::Null)
        return reader.bad(node, what + " must be a list");
    if (node.items.size() > kMostEntries)
        return reader.unfit(node, what + " has more than " + std::to_string(kMostEntries) + " entries");
    return {};
}

Result<std::vector<std::string>> sshKeys(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::vector<std::string> keys;
    for (const std::string &entry : TRY(oneOrMore(reader, node, what)))
        for (const std::string &line : split(entry, '\n'))
            if (const std::string_view key = trimmed(line); !key.empty())
                keys.emplace_back(key);
    return keys;
}

/// "a, b" or a list.
Result<std::vector<std::string>> accountNames(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::vector<std::string> names;
    const auto add = [&](std::string_view name, const YamlNode &at) -> Status {
        if (name = trimmed(name); !name.empty())
            names.push_back(TRY(accountName(reader, wordAt(name, at.line, at.column), what)));
        return {};
    };
    if (node.kind == YamlNode::Kind::Scalar) {
        for (const std::string &name : split(node.scalar, ','))
            TRY(add(name, node));
        return names;
    }
    TRY(checkSequence(reader, node, what));
    for (const YamlNode &item : node.items)
        TRY(add(TRY(reader.text(item, what)), item));
    return names;
}

// --- users and groups ---

Status readGroups(Reader &reader, const YamlNode &node)
{
    const auto group = [&](const std::string &name, const YamlNode *members, const YamlNode &at) -> Status {
        CloudGroup made{TRY(accountName(reader, wordAt(name, at.line, at.column), "group")), {}};
        if (members)
            made.members = TRY(accountNames(reader, *members, "member of " + quoted(name)));
        reader.config.groups.push_back(std::move(made));
        return {};
    };
    if (node.kind == YamlNode::Kind::Scalar) {
        for (const std::string &name : TRY(accountNames(reader, node, "group")))
            TRY(group(name, nullptr, node));
        return {};
    }
    if (node.kind == YamlNode::Kind::Map) {
        for (const auto &[name, members] : node.entries)
            TRY(group(name, &members, members));
        return {};
    }
    TRY(checkSequence(reader, node, "groups"));
    for (const YamlNode &item : node.items) {
        if (item.kind != YamlNode::Kind::Map) {
            TRY(group(TRY(reader.text(item, "group")), nullptr, item));
            continue;
        }
        for (const auto &[name, members] : item.entries)
            TRY(group(name, &members, members));
    }
    return {};
}

Result<std::vector<std::string>> sudoRules(const Reader &reader, const YamlNode &node)
{
    if (node.kind == YamlNode::Kind::Null || (node.plain && lower(node.scalar) == "false"))
        return std::vector<std::string>{};
    std::vector<std::string> rules = TRY(oneOrMore(reader, node, "sudo"));
    for (const std::string &rule : rules)
        if (rule.find('\n') != std::string::npos)
            return reader.bad(node, "sudo: a rule must be of one line");
    return rules;
}

struct UserMember {
    std::string_view name;
    Status (*read)(Reader &, CloudUser &, const YamlNode &);
};

template <std::string CloudUser::*Member> Status readField(Reader &reader, CloudUser &user, const YamlNode &node)
{
    user.*Member = TRY(accountField(reader, node, "it"));
    return {};
}
template <std::string CloudUser::*Member> Status readPath(Reader &reader, CloudUser &user, const YamlNode &node)
{
    TRY(accountField(reader, node, "it"));
    user.*Member = TRY(absolutePath(reader, node, "it"));
    return {};
}

/// As crypt(3) makes them, or a word that no password fits. The text itself is in no error.
bool isHash(std::string_view text)
{
    constexpr std::size_t kDes = 13;
    return text.starts_with("$") || text.starts_with("*") || text.starts_with("!") || (text.size() == kDes && isWord(text, "./", kDes));
}

Result<std::string> passwordHash(const Reader &reader, const YamlNode &node, const std::string &what, const std::string &cure)
{
    std::string hash = TRY(accountField(reader, node, what));
    if (!hash.empty() && !isHash(hash))
        return reader.unfit(node, what + " is no hash as crypt(3) makes them (" + cure + ")");
    return hash;
}

template <std::string CloudUser::*Member> Status readHash(Reader &reader, CloudUser &user, const YamlNode &node)
{
    user.*Member = TRY(passwordHash(reader, node, "it", "plain_text_passwd takes the password itself"));
    return {};
}

/// A password as people type it.
Result<std::string> plainPassword(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::string password = TRY(reader.text(node, what));
    if (password.empty() || password.find_first_of("\n\r") != std::string::npos || password.size() > kLongestPassword)
        return reader.bad(node, what + " must be of one line, with 1 to " + std::to_string(kLongestPassword) + " bytes");
    return password;
}

Status readSecret(Reader &reader, CloudUser &user, const YamlNode &node)
{
    user.password = TRY(plainPassword(reader, node, "it"));
    return {};
}

constexpr UserMember kUserMembers[] = {
    {"gecos",               &readField<&CloudUser::gecos>       },
    {"groups",              [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.groups = TRY(accountNames(reader, node, "group"));
         return {};
     }},
    {"hashed_passwd",       &readHash<&CloudUser::passwordHash> },
    {"home",                &readPath<&CloudUser::home>         },
    {"homedir",             &readPath<&CloudUser::home>         },
    {"lock_passwd",         [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.locked = TRY(yamlBool(node, reader.key, "lock_passwd"));
         return {};
     }},
    {"name",                [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.name = TRY(accountName(reader, node, "name"));
         return {};
     }},
    {"no_create_home",      [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.createHome = !TRY(yamlBool(node, reader.key, "no_create_home"));
         return {};
     }},
    {"passwd",              &readHash<&CloudUser::newPasswordHash>},
    {"plain_text_passwd",   &readSecret                         },
    {"primary_group",       [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.primaryGroup = TRY(accountName(reader, node, "primary_group"));
         return {};
     }},
    {"shell",               &readPath<&CloudUser::shell>        },
    {"ssh_authorized_keys", [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.keys = TRY(sshKeys(reader, node, "ssh_authorized_keys"));
         return {};
     }},
    {"sudo",                [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.sudo = TRY(sudoRules(reader, node));
         return {};
     }},
    {"system",              [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.system = TRY(yamlBool(node, reader.key, "system"));
         return {};
     }},
    {"uid",                 [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         const auto uid = parseUnsigned(TRY(reader.text(node, "uid")), 1, 65533);
         if (!uid)
             return reader.unfit(node, uid.error().message);
         user.uid = static_cast<std::uint32_t>(*uid);
         return {};
     }},
};

Result<CloudUser> readUser(Reader &reader, const YamlNode &node, const std::string &name)
{
    CloudUser user;
    user.name = name;
    for (const auto &[member, value] : node.entries) {
        const auto row = std::ranges::find(kUserMembers, std::string_view(member), &UserMember::name);
        if (row == std::end(kUserMembers)) {
            reader.warn(value, "users: " + quoted(member) + " is not applied without the image's own cloud-init");
            continue;
        }
        if (Status read = row->read(reader, user, value); !read)
            return std::move(read.error()).in("users: " + member);
    }
    if (user.name.empty())
        return reader.bad(node, "users: an entry has no 'name'");
    return user;
}

Status readUsers(Reader &reader, const YamlNode &node)
{
    if (node.kind == YamlNode::Kind::Map) {
        for (const auto &[name, value] : node.entries) {
            const YamlNode named = wordAt(name, value.keyLine, value.keyColumn);
            reader.config.users.push_back(TRY(readUser(reader, value, TRY(accountName(reader, named, "user")))));
        }
        return {};
    }
    TRY(checkSequence(reader, node, "users"));
    for (const YamlNode &item : node.items) {
        if (item.kind == YamlNode::Kind::Map) {
            reader.config.users.push_back(TRY(readUser(reader, item, "")));
            continue;
        }
        // "default" is whom a distribution's own cloud-init brings along; these images have nobody.
        for (std::string &name : TRY(accountNames(reader, item, "user")))
            if (name != "default") {
                CloudUser user;
                user.name = std::move(name);
                reader.config.users.push_back(std::move(user));
            }
    }
    return {};
}

// --- passwords ---

/// "name:password", as a line of chpasswd(8): a hash, R or RANDOM for one that is made up, or the password itself.
Status readPasswordLine(Reader &reader, const YamlNode &at, const std::string &line)
{
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || colon == 0)
        return reader.bad(at, "chpasswd: list: an entry is no 'name:password'");
    CloudPassword made;
    made.user = TRY(accountName(reader, wordAt(line.substr(0, colon), at.line, at.column), "chpasswd: list: user"));
    const YamlNode value = wordAt(line.substr(colon + 1), at.line, at.column);
    made.kind = value.scalar == "R" || value.scalar == "RANDOM" ? CloudPassword::Kind::Random
                : value.scalar.starts_with("$")                 ? CloudPassword::Kind::Hash
                                                                : CloudPassword::Kind::Text;
    if (made.kind == CloudPassword::Kind::Hash)
        made.value = TRY(accountField(reader, value, "chpasswd: list: the hash"));
    else if (made.kind == CloudPassword::Kind::Text)
        made.value = TRY(plainPassword(reader, value, "chpasswd: list: the password"));
    reader.config.passwords.push_back(std::move(made));
    return {};
}

Status readPasswordList(Reader &reader, const YamlNode &node)
{
    if (node.kind == YamlNode::Kind::Scalar) {
        for (const std::string &line : split(node.scalar, '\n'))
            if (const std::string_view entry = trimmed(line); !entry.empty())
                TRY(readPasswordLine(reader, node, std::string(entry)));
        return {};
    }
    TRY(checkSequence(reader, node, "chpasswd: list"));
    for (const YamlNode &item : node.items)
        TRY(readPasswordLine(reader, item, TRY(reader.text(item, "chpasswd: list: an entry"))));
    return {};
}

struct PasswordType {
    std::string_view name;
    CloudPassword::Kind kind;
};
constexpr PasswordType kPasswordTypes[] = {
    {"hash", CloudPassword::Kind::Hash}, {"text", CloudPassword::Kind::Text}, {"RANDOM", CloudPassword::Kind::Random}};

Status readPasswordUser(Reader &reader, const YamlNode &node)
{
    if (node.kind != YamlNode::Kind::Map)
        return reader.bad(node, "chpasswd: users: an entry must have 'name'");
    CloudPassword made;
    made.kind = CloudPassword::Kind::Hash; // what cloud-init takes where no type is said
    const YamlNode *password = nullptr;
    for (const auto &[member, value] : node.entries) {
        if (member == "name") {
            made.user = TRY(accountName(reader, value, "chpasswd: users: name"));
        } else if (member == "password") {
            password = &value;
        } else if (member == "type") {
            const std::string type = TRY(reader.text(value, "chpasswd: users: type"));
            const auto row = std::ranges::find(kPasswordTypes, std::string_view(type), &PasswordType::name);
            if (row == std::end(kPasswordTypes))
                return reader.bad(value, "chpasswd: users: type " + quoted(type) + " is unknown (hash, text, RANDOM)");
            made.kind = row->kind;
        } else {
            reader.warn(value, "chpasswd: users: " + quoted(member) + " is not applied without the image's own cloud-init");
        }
    }
    if (made.user.empty())
        return reader.bad(node, "chpasswd: users: an entry has no 'name'");
    if (made.kind != CloudPassword::Kind::Random && !password)
        return reader.bad(node, "chpasswd: users: an entry has no 'password' (type: RANDOM makes one up)");
    if (made.kind == CloudPassword::Kind::Hash)
        made.value = TRY(passwordHash(reader, *password, "chpasswd: users: password", "type: text takes the password itself"));
    else if (made.kind == CloudPassword::Kind::Text)
        made.value = TRY(plainPassword(reader, *password, "chpasswd: users: password"));
    reader.config.passwords.push_back(std::move(made));
    return {};
}

/// Users before the list: where both name one, the list counts, which older images know.
Status readPasswords(Reader &reader, const YamlNode &node)
{
    if (node.kind != YamlNode::Kind::Map)
        return reader.bad(node, "chpasswd must be a map with 'users'");
    const std::size_t before = reader.config.passwords.size();
    for (const auto &[member, value] : node.entries) {
        if (member == "users") {
            TRY(checkSequence(reader, value, "chpasswd: users"));
            for (const YamlNode &item : value.items)
                TRY(readPasswordUser(reader, item));
        } else if (member == "expire") {
            reader.config.expirePasswords = TRY(yamlBool(value, reader.key, "chpasswd: expire"));
        } else if (member != "list") {
            reader.warn(value, "chpasswd: " + quoted(member) + " is not applied without the image's own cloud-init");
        }
    }
    if (const YamlNode *list = node.find("list"))
        TRY(readPasswordList(reader, *list));
    for (std::size_t i = before; i < reader.config.passwords.size(); ++i)
        if (const CloudPassword &made = reader.config.passwords[i]; made.kind == CloudPassword::Kind::Random)
            reader.config.warnings.push_back(reader.key + ": the password that was made up for " + quoted(made.user) + " is in " +
                                             std::string(kMadeUpPasswords) + " in the guest, for its root");
    return {};
}

/// There is nobody whom a distribution's own cloud-init would bring along.
Status readDefaultPassword(Reader &reader, const YamlNode &node)
{
    reader.warn(node, "'password' is not applied without the image's own cloud-init: it is that of a default user (chpasswd names the user)");
    return {};
}

Status readSshPasswords(Reader &reader, const YamlNode &node)
{
    const std::string word = TRY(reader.text(node, "ssh_pwauth"));
    if (!word.empty() && lower(word) != "unchanged")
        reader.config.sshPasswords = TRY(yamlBool(node, reader.key, "ssh_pwauth"));
    return {};
}

// --- files ---

Result<std::string> decoded(const Reader &reader, const YamlNode &node, const std::string &encoding, std::size_t most)
{
    std::string content = TRY(reader.text(node, "content"));
    const bool gzip = encoding.starts_with("gz");
    const bool base64 = encoding.ends_with("b64") || encoding.ends_with("base64");
    if (base64) {
        Result<std::string> plain = base64Decode(content);
        if (!plain)
            return reader.bad(node, "content is " + plain.error().message);
        content = std::move(*plain);
    }
    if (gzip) {
        Result<std::string> plain = gunzip(content, most);
        if (!plain)
            return reader.bad(node, "content is " + plain.error().message);
        content = std::move(*plain);
    }
    if (content.size() > most)
        return reader.unfit(node, "content is larger than " + formatBytes(Bytes{kMostContent}) + " with the other files");
    return content;
}

constexpr std::string_view kEncodings[] = {"", "text/plain", "b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"};

Status readOwner(const Reader &reader, const YamlNode &node, CloudFile &file)
{
    const std::string owner = TRY(reader.text(node, "owner"));
    const std::size_t colon = owner.find(':');
    for (const auto &[part, into] : {std::pair{owner.substr(0, colon), &file.user},
                                     std::pair{colon == std::string::npos ? std::string() : owner.substr(colon + 1), &file.group}})
        if (!part.empty()) {
            if (!isWord(part, "_.-$", 32))
                return reader.unfit(node, "owner: " + quoted(part) + " is no name of an account");
            *into = part;
        }
    return {};
}

Status readFile(Reader &reader, const YamlNode &node)
{
    if (node.kind != YamlNode::Kind::Map)
        return reader.bad(node, "write_files: an entry must have 'path' and 'content'");
    CloudFile file;
    std::string encoding;
    const YamlNode *content = nullptr;
    for (const auto &[member, value] : node.entries) {
        const std::string what = "write_files: " + member;
        if (member == "path") {
            file.path = TRY(absolutePath(reader, value, what));
        } else if (member == "content") {
            content = &value;
        } else if (member == "encoding") {
            encoding = TRY(reader.text(value, what));
            if (std::ranges::find(kEncodings, encoding) == std::end(kEncodings))
                return reader.bad(value, what + " " + quoted(encoding) + " is unknown (text/plain, b64, gzip, gz+b64)");
        } else if (member == "owner") {
            TRY(readOwner(reader, value, file));
        } else if (member == "permissions") {
            const auto mode = Codec<FileMode>::parse(TRY(reader.text(value, what)));
            if (!mode)
                return reader.bad(value, what + ": " + mode.error().message);
            file.mode = mode->bits;
        } else if (member == "append") {
            file.append = TRY(yamlBool(value, reader.key, what));
        } else if (member == "defer") {
            TRY(yamlBool(value, reader.key, what)); // users are there by then in any case
        } else {
            reader.warn(value, what + " is not applied without the image's own cloud-init");
        }
    }
    if (file.path.empty())
        return reader.bad(node, "write_files: an entry has no 'path'");
    if (content)
        file.content = TRY_IN("write_files", decoded(reader, *content, encoding, kMostContent - reader.content));
    reader.content += file.content.size();
    reader.config.files.push_back(std::move(file));
    return {};
}

Status readFiles(Reader &reader, const YamlNode &node)
{
    TRY(checkSequence(reader, node, "write_files"));
    for (const YamlNode &item : node.items)
        TRY(readFile(reader, item));
    return {};
}

// --- names, packages, commands ---

Result<std::string> hostName(const Reader &reader, const YamlNode &node, const std::string &what)
{
    std::string name = TRY(reader.text(node, what));
    if (!isWord(name, "-.", 253) || name.front() == '.' || name.substr(0, name.find('.')).size() > 63)
        return reader.unfit(node, what + " " + quoted(name) + " is no host name");
    return name;
}

Status readHostName(Reader &reader, const YamlNode &node)
{
    reader.config.hostname = TRY(hostName(reader, node, "hostname"));
    return {};
}

Status readFqdn(Reader &reader, const YamlNode &node)
{
    reader.config.fqdn = TRY(hostName(reader, node, "fqdn"));
    return {};
}

Status readManageHosts(Reader &reader, const YamlNode &node)
{
    const std::string text = TRY(reader.text(node, "manage_etc_hosts"));
    reader.config.manageHosts = text == "localhost" || text == "template" || TRY(yamlBool(node, reader.key, "manage_etc_hosts"));
    return {};
}

Status readTimezone(Reader &reader, const YamlNode &node)
{
    std::string zone = TRY(reader.text(node, "timezone"));
    if (!isWord(zone, "/_+-", 255) || zone.front() == '/')
        return reader.unfit(node, "timezone " + quoted(zone) + " is no name such as Europe/Berlin");
    reader.config.timezone = std::move(zone);
    return {};
}

Status readRootKeys(Reader &reader, const YamlNode &node)
{
    reader.config.rootKeys = TRY(sshKeys(reader, node, "ssh_authorized_keys"));
    return {};
}

Status readUpdate(Reader &reader, const YamlNode &node)
{
    reader.config.packageUpdate = TRY(yamlBool(node, reader.key, "package_update"));
    return {};
}

Status readUpgrade(Reader &reader, const YamlNode &node)
{
    reader.config.packageUpgrade = TRY(yamlBool(node, reader.key, "package_upgrade"));
    return {};
}

Result<std::string> packageWord(const Reader &reader, const YamlNode &node)
{
    std::string word = TRY(reader.text(node, "packages"));
    if (!isWord(word, "+-._:~=/@", 255))
        return reader.unfit(node, "packages: " + quoted(word) + " is no name of a package");
    return word;
}

Status readPackages(Reader &reader, const YamlNode &node)
{
    TRY(checkSequence(reader, node, "packages"));
    for (const YamlNode &item : node.items) {
        if (item.kind == YamlNode::Kind::Map) {
            reader.config.warnings.push_back(reader.bad(item, "packages: those of one package manager are not applied without the image's "
                                                              "own cloud-init").message);
            continue;
        }
        if (item.kind != YamlNode::Kind::Sequence) {
            reader.config.packages.push_back(TRY(packageWord(reader, item)));
            continue;
        }
        if (item.items.empty() || item.items.size() > 2)
            return reader.bad(item, "packages: an entry is a name, or a name and a version");
        std::string wanted = TRY(packageWord(reader, item.items.front()));
        if (item.items.size() == 2)
            wanted += "=" + TRY(packageWord(reader, item.items.back()));
        reader.config.packages.push_back(std::move(wanted));
    }
    return {};
}

Status readCommands(Reader &reader, const YamlNode &node, const std::string &what, std::vector<CloudCommand> &commands)
{
    TRY(checkSequence(reader, node, what));
    for (const YamlNode &item : node.items) {
        CloudCommand command;
        if (item.kind == YamlNode::Kind::Sequence) {
            command.argv = TRY(yamlStrings(item, reader.key, what));
            if (command.argv.empty() || command.argv.front().empty())
                return reader.bad(item, what + ": a command is empty");
        } else {
            command.line = TRY(reader.text(item, what + ": a command"));
        }
        commands.push_back(std::move(command));
    }
    return {};
}

Status readBootcmd(Reader &reader, const YamlNode &node) { return readCommands(reader, node, "bootcmd", reader.config.bootcmd); }
Status readRuncmd(Reader &reader, const YamlNode &node) { return readCommands(reader, node, "runcmd", reader.config.runcmd); }

struct Module {
    std::string_view name;
    Status (*read)(Reader &, const YamlNode &);
};
constexpr Module kModules[] = {
    {"bootcmd",             &readBootcmd    },
    {"chpasswd",            &readPasswords  },
    {"fqdn",                &readFqdn       },
    {"groups",              &readGroups     },
    {"hostname",            &readHostName   },
    {"manage_etc_hosts",    &readManageHosts},
    {"package_update",      &readUpdate     },
    {"package_upgrade",     &readUpgrade    },
    {"packages",            &readPackages   },
    {"password",            &readDefaultPassword},
    {"runcmd",              &readRuncmd     },
    {"ssh_authorized_keys", &readRootKeys   },
    {"ssh_pwauth",          &readSshPasswords},
    {"timezone",            &readTimezone   },
    {"users",               &readUsers      },
    {"write_files",         &readFiles      },
};

using Names = std::set<std::string>;

/// Reads the modules of one part, but for those that are `taken`; `own`: those it has.
Status readModules(const CloudPart &part, const YamlNode &root, CloudConfig &config, const Names &taken, Names &own)
{
    if (root.kind == YamlNode::Kind::Null)
        return {};
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(part.file, root, "must be a map of modules, such as 'runcmd:'");
    Reader reader{part.file, config};
    for (const CloudFile &file : config.files)
        reader.content += file.content.size();
    for (const auto &[name, node] : root.entries) {
        own.insert(name);
        if (taken.contains(name))
            continue;
        const auto row = std::ranges::find(kModules, std::string_view(name), &Module::name);
        if (row == std::end(kModules))
            reader.warn(node, quoted(name) + " is not applied without the image's own cloud-init");
        else
            TRY(row->read(reader, node));
    }
    return {};
}

/// Of several parts the last one that has a module counts (what cloud-init merges by, where nothing else is said); their
/// programs are run in their order.
Status readText(const CloudTexts::Text &text, CloudConfig &config, Names &taken)
{
    const std::vector<CloudPart> parts = TRY(cloudParts(text.key, text.value));
    std::vector<std::string> programs;
    for (const CloudPart &part : parts)
        if (part.kind == CloudPart::Kind::Program)
            programs.push_back(part.text);
    if (config.programs.empty())
        config.programs = std::move(programs);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (part->kind != CloudPart::Kind::Config)
            continue;
        Names own;
        TRY(readModules(*part, TRY(parseYaml(part->text, part->file, kLimits)), config, taken, own));
        taken.merge(own);
    }
    return {};
}

/// Only what no cloud-init would take either.
Status checkText(const CloudTexts::Text &text)
{
    const auto ours = [](Status status) { return !status && status.error().code == Code::Unsupported ? Status() : std::move(status); };
    const auto parts = cloudParts(text.key, text.value);
    if (!parts)
        return ours(parts.error());
    for (const CloudPart &part : *parts) {
        if (part.kind != CloudPart::Kind::Config)
            continue;
        const auto root = parseYaml(part.text, part.file, kLimits);
        if (!root) {
            TRY(checkYaml(part.text, part.file)); // else it has what only our reader refuses: aliases, say
            continue;
        }
        CloudConfig config;
        Names own;
        TRY(ours(readModules(part, *root, config, {}, own)));
    }
    return {};
}

CloudTexts::Text textOf(const StringMap &config, const std::string &name)
{
    for (const char *prefix : {"cloud-init.", "user."}) {
        const auto found = config.find(prefix + name);
        if (found != config.end() && !found->second.empty())
            return {found->first, found->second};
    }
    return {};
}

} // namespace

CloudTexts CloudTexts::of(const StringMap &expanded)
{
    return {textOf(expanded, "user-data"), textOf(expanded, "vendor-data"), textOf(expanded, "network-config")};
}

Result<CloudConfig> readCloudConfig(const CloudTexts &texts)
{
    CloudConfig config;
    std::set<std::string> taken;
    TRY(readText(texts.user, config, taken));
    TRY(readText(texts.vendor, config, taken));
    if (!texts.network.value.empty())
        config.warnings.push_back(texts.network.key + " is not applied without the image's own cloud-init");
    return config;
}

Status checkCloudTexts(const StringMap &before, const StringMap &after)
{
    for (const char *prefix : {"cloud-init.", "user."})
        for (const char *name : {"user-data", "vendor-data", "network-config"}) {
            const auto now = after.find(std::string(prefix) + name);
            if (now == after.end() || now->second.empty())
                continue;
            const auto was = before.find(now->first);
            if (was != before.end() && was->second == now->second)
                continue;
            TRY(std::string_view(name) == "network-config" ? checkYaml(now->second, now->first) : checkText({now->first, now->second}));
        }
    return {};
}

} // namespace lxmgr::config
