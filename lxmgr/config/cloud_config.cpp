#include "config/cloud_config.h"

#include "base/base64.h"
#include "base/text.h"
#include "config/values.h"

#include <algorithm>
#include <array>
#include <set>
#include <zlib.h>

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kMostEntries = 1000;
constexpr std::size_t kMostContent = 16U << 20; ///< Of all files, decoded.

struct Reader {
    std::string key; ///< Whose text is being read: the "file" of errors.
    CloudConfig &config;
    std::size_t content = 0;

    Error bad(const YamlNode &at, const std::string &what) const { return yamlError(key, at, what); }
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
    if (!isWord(name, "_.-$", 32) || (name.front() >= '0' && name.front() <= '9'))
        return reader.bad(node, what + " " + quoted(name) + " is no name of an account");
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
        return reader.bad(node, what + " has more than " + std::to_string(kMostEntries) + " entries");
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

constexpr UserMember kUserMembers[] = {
    {"gecos",               &readField<&CloudUser::gecos>       },
    {"groups",              [](Reader &reader, CloudUser &user, const YamlNode &node) -> Status {
         user.groups = TRY(accountNames(reader, node, "group"));
         return {};
     }},
    {"hashed_passwd",       &readField<&CloudUser::passwordHash>},
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
    {"passwd",              &readField<&CloudUser::passwordHash>},
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
             return reader.bad(node, uid.error().message);
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

// --- files ---

struct Inflater {
    z_stream stream{};
    bool good = ::inflateInit2(&stream, 15 + 16) == Z_OK; // gzip only
    ~Inflater() { ::inflateEnd(&stream); }
    Inflater() = default;
    Inflater(const Inflater &) = delete;
    Inflater &operator=(const Inflater &) = delete;
};

Result<std::string> fromGzip(const Reader &reader, const YamlNode &node, const std::string &packed, std::size_t most)
{
    Inflater inflater;
    z_stream &stream = inflater.stream;
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(packed.data())); // zlib does not write there
    stream.avail_in = static_cast<uInt>(packed.size());
    std::string out;
    std::array<char, 64 * 1024> buffer{};
    int status = inflater.good ? Z_OK : Z_MEM_ERROR;
    while (status == Z_OK) {
        stream.next_out = reinterpret_cast<Bytef *>(buffer.data());
        stream.avail_out = buffer.size();
        status = ::inflate(&stream, Z_NO_FLUSH);
        out.append(buffer.data(), buffer.size() - stream.avail_out);
        if (out.size() > most)
            return reader.bad(node, "content is larger than " + formatBytes(Bytes{kMostContent}) + " with the other files");
    }
    if (status != Z_STREAM_END)
        return reader.bad(node, "content is no gzip");
    return out;
}

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
    if (gzip)
        content = TRY(fromGzip(reader, node, content, most));
    if (content.size() > most)
        return reader.bad(node, "content is larger than " + formatBytes(Bytes{kMostContent}) + " with the other files");
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
                return reader.bad(node, "owner: " + quoted(part) + " is no name of an account");
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
        return reader.bad(node, what + " " + quoted(name) + " is no host name");
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
        return reader.bad(node, "timezone " + quoted(zone) + " is no name such as Europe/Berlin");
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
        return reader.bad(node, "packages: " + quoted(word) + " is no name of a package");
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
    {"fqdn",                &readFqdn       },
    {"groups",              &readGroups     },
    {"hostname",            &readHostName   },
    {"manage_etc_hosts",    &readManageHosts},
    {"package_update",      &readUpdate     },
    {"package_upgrade",     &readUpgrade    },
    {"packages",            &readPackages   },
    {"runcmd",              &readRuncmd     },
    {"ssh_authorized_keys", &readRootKeys   },
    {"timezone",            &readTimezone   },
    {"users",               &readUsers      },
    {"write_files",         &readFiles      },
};

Error otherForm(const CloudTexts::Text &text)
{
    const std::string first = text.value.substr(0, std::min<std::size_t>(text.value.find('\n'), 40));
    return Error(Code::Unsupported, text.key + " begins with " + quoted(first) +
                                        ": the image has no cloud-init, and without it only '#cloud-config' and programs ('#!/bin/sh') are applied");
}

/// Reads the modules of one text, but for those that are `taken`.
Status readText(const CloudTexts::Text &text, CloudConfig &config, std::set<std::string> &taken)
{
    const std::string_view value = text.value;
    if (trimmed(value).empty())
        return {};
    if (value.starts_with("#!")) {
        config.script = config.script.empty() ? text.value : config.script;
        return {};
    }
    const std::string_view first = trimmed(value.substr(0, value.find('\n')));
    if (first != "#cloud-config")
        return otherForm(text);
    YamlNode root = TRY(parseYaml(value, text.key));
    if (root.kind == YamlNode::Kind::Null)
        return {};
    if (root.kind != YamlNode::Kind::Map)
        return yamlError(text.key, root, "must be a map of modules, such as 'runcmd:'");
    Reader reader{text.key, config};
    for (const CloudFile &file : config.files)
        reader.content += file.content.size();
    std::set<std::string> own;
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
    taken.merge(own);
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

} // namespace lxmgr::config
