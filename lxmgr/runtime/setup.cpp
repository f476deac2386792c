#include "runtime/setup.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

using path::Scope;

// O_NONBLOCK: a fifo of the image's must not stop us.
constexpr int kAlways = O_NONBLOCK | O_NOCTTY;
constexpr std::size_t kLongestTable = 4U << 20;

Status checkRegular(const Fd &file)
{
    return S_ISREG(TRY(sys::fstat(file)).st_mode) ? Status() : Status(Error(Code::Invalid, "it is not a regular file"));
}

/// The file has its old text or the new one, whenever a boot is cut off or the disk gets full. `like`: owner and mode it had; else it is
/// root's, of `mode`.
Status replaceWhole(const Fd &root, const std::string &path, const std::string &text, const std::optional<struct stat> &like, mode_t mode)
{
    const path::Parent parent = TRY(path::openParent(root, path, Scope::InRoot));
    const std::string beside = "." + parent.name + ".lxmgr";
    (void)sys::unlinkat(parent.folder, beside); // of a boot that was cut off
    const Fd file = TRY(path::open(parent.folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, Scope::NoSymlink, 0600));
    TRY(files::writeAll(file, text));
    if (like)
        TRY(sys::fchown(file, like->st_uid, like->st_gid));
    TRY(sys::fchmod(file, like ? like->st_mode & 07777 : mode));
    return sys::renameat2(parent.folder, beside, parent.folder, parent.name);
}

/// passwd(5), shadow(5), group(5) or gshadow: lines of fields, the first of which is a name.
class Table
{
public:
    static Result<Table> read(const Fd &root, const std::string &name, std::size_t fields)
    {
        Table table(name, fields);
        const auto file = path::open(root, "etc/" + name, O_RDONLY | kAlways | O_NOFOLLOW, Scope::InRoot);
        if (!file && file.error().errnum == ENOENT)
            return table;
        if (!file)
            return file.error();
        TRY_IN(quoted("/etc/" + name), checkRegular(*file));
        table.m_info = TRY(sys::fstat(*file));
        for (const std::string &line : split(TRY(files::readAll(*file, kLongestTable)), '\n'))
            if (!line.empty())
                table.m_rows.push_back(split(line, ':'));
        return table;
    }

    bool isThere() const { return m_info.has_value(); }
    std::vector<std::string> *find(const std::string &name)
    {
        const auto row = std::ranges::find_if(m_rows, [&](const auto &fields) { return fields.front() == name; });
        return row == m_rows.end() ? nullptr : &*row;
    }
    std::vector<std::string> &add(std::vector<std::string> row)
    {
        m_changed = true;
        m_rows.push_back(std::move(row));
        m_rows.back().resize(m_fields);
        return m_rows.back();
    }
    void change(std::string &field, std::string value)
    {
        m_changed = m_changed || field != value;
        field = std::move(value);
    }
    /// Of a row that may be shorter than it should be.
    std::string &field(std::vector<std::string> &row, std::size_t number) const
    {
        if (row.size() < m_fields)
            row.resize(m_fields);
        return row[number];
    }
    /// Numbers in field `number`.
    std::set<std::uint32_t> numbers(std::size_t number) const
    {
        std::set<std::uint32_t> found;
        for (const auto &row : m_rows)
            if (row.size() > number)
                if (const auto value = parseUnsigned(row[number], 0, UINT32_MAX))
                    found.insert(static_cast<std::uint32_t>(*value));
        return found;
    }

    /// The new table takes the old one's place whole: without accounts nobody gets in.
    Status save(const Fd &root) const
    {
        if (!m_changed)
            return {};
        std::string text;
        for (const auto &row : m_rows)
            text += join(row, ":") + "\n";
        return replaceWhole(root, "etc/" + m_name, text, m_info, m_name.find("shadow") == std::string::npos ? 0644 : 0600);
    }

private:
    Table(std::string name, std::size_t fields) : m_name(std::move(name)), m_fields(fields) {}
    std::string m_name;
    std::size_t m_fields;
    std::vector<std::vector<std::string>> m_rows;
    std::optional<struct stat> m_info; ///< Of the file; nothing: there is none.
    bool m_changed = false;
};

// Fields by their places.
constexpr std::size_t kPasswdPassword = 1, kShadowPassword = 1, kShadowChanged = 2;
constexpr std::size_t kPasswdUid = 2, kPasswdGid = 3, kPasswdHome = 5, kGroupGid = 2, kGroupMembers = 3;

struct Accounts {
    Table passwd, shadow, group, gshadow;
};

Result<Accounts> readAccounts(const Fd &root)
{
    return Accounts{TRY(Table::read(root, "passwd", 7)), TRY(Table::read(root, "shadow", 9)), TRY(Table::read(root, "group", 4)),
                    TRY(Table::read(root, "gshadow", 4))};
}

Result<std::uint32_t> freeId(const std::set<std::uint32_t> &taken, bool system)
{
    if (system) {
        for (std::uint32_t id = 999; id >= 100; --id)
            if (!taken.contains(id))
                return id;
    } else {
        for (std::uint32_t id = 1000; id < 60000; ++id)
            if (!taken.contains(id))
                return id;
    }
    return Error(Code::Invalid, "no number is free for it");
}

void addMember(Table &table, const std::string &group, const std::string &user)
{
    std::vector<std::string> *row = table.find(group);
    if (!row)
        return;
    std::string &members = table.field(*row, kGroupMembers);
    const std::vector<std::string> known = split(members, ',');
    if (std::ranges::find(known, user) == known.end())
        table.change(members, members.empty() ? user : members + "," + user);
}

/// The number of a group, which is made where it is missing.
Result<std::uint32_t> ensureGroup(Accounts &accounts, const std::string &name, bool system, std::uint32_t wish = 0)
{
    if (std::vector<std::string> *row = accounts.group.find(name)) {
        const auto gid = parseUnsigned(accounts.group.field(*row, kGroupGid), 0, UINT32_MAX);
        return gid ? Result<std::uint32_t>(static_cast<std::uint32_t>(*gid))
                   : Error(Code::Invalid, "group " + quoted(name) + " has no number in /etc/group");
    }
    const std::set<std::uint32_t> taken = accounts.group.numbers(kGroupGid);
    const std::uint32_t gid = wish != 0 && !taken.contains(wish) ? wish : TRY_IN("group " + quoted(name), freeId(taken, system));
    accounts.group.add({name, "x", std::to_string(gid), ""});
    if (accounts.gshadow.isThere())
        accounts.gshadow.add({name, "!", "", ""});
    return gid;
}

Status addToGroup(Accounts &accounts, const std::string &user, const std::string &group)
{
    TRY(ensureGroup(accounts, group, false));
    addMember(accounts.group, group, user);
    addMember(accounts.gshadow, group, user);
    return {};
}

std::string shellOf(const Fd &root, const spec::GuestUser &user)
{
    if (!user.shell.empty())
        return user.shell;
    return path::open(root, "bin/bash", O_PATH, Scope::InRoot) ? "/bin/bash" : "/bin/sh";
}

void setPassword(Accounts &accounts, const spec::GuestUser &user, bool isNew)
{
    std::vector<std::string> *row = accounts.shadow.find(user.name);
    if (!row) {
        // "*": no password fits. "!" would say that the account is locked, and sshd(8) lets nobody into such a one.
        row = &accounts.shadow.add({user.name, "*", "", "0", "99999", "7", "", "", ""});
        isNew = true;
    }
    if (user.passwordHash.empty())
        return;
    if (isNew || !user.passwordOfNew)
        accounts.shadow.change(accounts.shadow.field(*row, kShadowPassword), (user.locked ? "!" : "") + user.passwordHash);
}

/// What chpasswd(8) does, and chage(1) where it is to be changed at once.
Status applyPassword(Accounts &accounts, const spec::GuestPassword &password)
{
    std::vector<std::string> *account = accounts.passwd.find(password.user);
    if (!account)
        return Error(Code::Invalid, "the guest has no user " + quoted(password.user));
    accounts.passwd.change(accounts.passwd.field(*account, kPasswdPassword), "x"); // it is in shadow
    std::vector<std::string> *row = accounts.shadow.find(password.user);
    if (!row)
        row = &accounts.shadow.add({password.user, "", "", "0", "99999", "7", "", "", ""});
    accounts.shadow.change(accounts.shadow.field(*row, kShadowPassword), password.hash);
    constexpr std::time_t kDay = 24 * 60 * 60;
    accounts.shadow.change(accounts.shadow.field(*row, kShadowChanged), password.expired ? "0" : std::to_string(std::time(nullptr) / kDay));
    return {};
}

using path::Owner;

/// Of root that is known without a file.
Result<Owner> ownerOf(Accounts &accounts, const std::string &name)
{
    std::vector<std::string> *row = accounts.passwd.find(name);
    if (!row && name == "root")
        return Owner{};
    if (!row)
        return Error(Code::Invalid, "the guest has no user " + quoted(name));
    const auto uid = parseUnsigned(accounts.passwd.field(*row, kPasswdUid), 0, UINT32_MAX);
    const auto gid = parseUnsigned(accounts.passwd.field(*row, kPasswdGid), 0, UINT32_MAX);
    if (!uid || !gid)
        return Error(Code::Invalid, "user " + quoted(name) + " has no numbers in /etc/passwd");
    return Owner{static_cast<std::uint32_t>(*uid), static_cast<std::uint32_t>(*gid)};
}

Status copySkeleton(const Fd &skeleton, const Fd &home, const Owner &owner)
{
    constexpr std::size_t kLongest = 1U << 20;
    return path::walk(skeleton, [&](const path::Entry &entry) -> Status {
        const path::Parent parent = TRY(path::openParent(home, entry.path, Scope::NoSymlink));
        if (S_ISDIR(entry.info.st_mode)) {
            TRY(sys::mkdirat(parent.folder, parent.name, entry.info.st_mode & 07777));
        } else if (S_ISLNK(entry.info.st_mode)) {
            TRY(sys::symlinkat(TRY(sys::readlinkat(entry.folder, entry.name)), parent.folder, parent.name));
        } else if (S_ISREG(entry.info.st_mode)) {
            const Fd from = TRY(path::open(entry.folder, entry.name, O_RDONLY | kAlways | O_NOFOLLOW, Scope::NoSymlink));
            const Fd to = TRY(path::open(parent.folder, parent.name, O_WRONLY | O_CREAT | O_EXCL, Scope::NoSymlink, 0600));
            TRY(files::writeAll(to, TRY(files::readAll(from, kLongest))));
            TRY(sys::fchmod(to, entry.info.st_mode & 0777));
        } else {
            return {};
        }
        return sys::fchownat(parent.folder, parent.name, owner.uid, owner.gid);
    });
}

Status makeHome(const Fd &root, const std::string &home, const Owner &owner)
{
    if (const std::size_t slash = home.rfind('/'); slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(root, home.substr(0, slash), 0755, Scope::InRoot));
    const path::Parent parent = TRY(path::openParent(root, home, Scope::InRoot));
    Status made = sys::mkdirat(parent.folder, parent.name, 0700);
    if (!made && made.error().errnum == EEXIST)
        return {}; // somebody's already: left as it is
    TRY(std::move(made));
    const Fd folder = TRY(path::open(parent.folder, parent.name, O_RDONLY | O_DIRECTORY, Scope::NoSymlink));
    if (const auto skeleton = path::open(root, "etc/skel", O_RDONLY | O_DIRECTORY, Scope::InRoot))
        TRY_IN("/etc/skel", copySkeleton(*skeleton, folder, owner));
    TRY(sys::fchown(folder, owner.uid, owner.gid));
    return sys::fchmod(folder, 0750);
}

/// Adds the lines that `file` does not have, and makes it where it is missing.
Status addLines(const Fd &folder, const std::string &name, const std::vector<std::string> &lines, const Owner &owner, mode_t mode)
{
    const Fd file = TRY(path::open(folder, name, O_RDWR | O_CREAT | kAlways, Scope::NoSymlink, 0600));
    TRY(checkRegular(file));
    const std::string before = TRY(files::readAll(file, kLongestTable));
    const std::vector<std::string> known = split(before, '\n');
    std::string more = before.empty() || before.ends_with('\n') ? "" : "\n";
    for (const std::string &line : lines)
        if (std::ranges::find(known, line) == known.end())
            more += line + "\n";
    TRY(files::writeAll(file, more)); // behind what was read
    TRY(sys::fchown(file, owner.uid, owner.gid));
    return sys::fchmod(file, mode);
}

Status addKeys(const Fd &root, const std::string &home, const std::vector<std::string> &keys, const Owner &owner)
{
    if (keys.empty())
        return {};
    const Fd folder = TRY(path::makeFolders(root, home, 0755, Scope::InRoot));
    Status made = sys::mkdirat(folder, ".ssh", 0700);
    if (made)
        TRY(sys::fchownat(folder, ".ssh", owner.uid, owner.gid));
    else if (made.error().errnum != EEXIST)
        return made;
    const Fd ssh = TRY(path::open(folder, ".ssh", O_RDONLY | O_DIRECTORY, Scope::NoSymlink));
    TRY_IN("authorized_keys", addLines(ssh, "authorized_keys", keys, owner, 0600));
    return {};
}

Status addSudo(const Fd &root, const spec::GuestUser &user)
{
    if (user.sudo.empty())
        return {};
    const Fd folder = TRY(path::makeFolders(root, "etc/sudoers.d", 0750, Scope::InRoot));
    std::vector<std::string> lines;
    for (const std::string &rule : user.sudo)
        lines.push_back(user.name + " " + rule);
    return addLines(folder, "90-cloud-init-users", lines, {}, 0440);
}

Status addUser(const Fd &root, Accounts &accounts, const spec::GuestUser &user)
{
    const bool isNew = accounts.passwd.find(user.name) == nullptr;
    if (isNew) {
        const std::set<std::uint32_t> taken = accounts.passwd.numbers(kPasswdUid);
        if (user.uid != 0 && taken.contains(user.uid))
            return Error(Code::Invalid, "uid " + std::to_string(user.uid) + " is another's in this image");
        const std::uint32_t uid = user.uid != 0 ? user.uid : TRY(freeId(taken, user.system));
        const std::string group = user.primaryGroup.empty() ? user.name : user.primaryGroup;
        const std::uint32_t gid = TRY(ensureGroup(accounts, group, user.system, uid));
        accounts.passwd.add({user.name, "x", std::to_string(uid), std::to_string(gid), user.gecos,
                             user.home.empty() ? "/home/" + user.name : user.home, shellOf(root, user)});
    }
    if (user.name != "root" || !user.passwordHash.empty())
        setPassword(accounts, user, isNew);
    for (const std::string &group : user.groups)
        TRY(addToGroup(accounts, user.name, group));
    return {};
}

Status furnish(const Fd &root, Accounts &accounts, const spec::GuestUser &user)
{
    const Owner owner = TRY(ownerOf(accounts, user.name));
    std::vector<std::string> *row = accounts.passwd.find(user.name);
    const std::string home = row ? accounts.passwd.field(*row, kPasswdHome) : "/root";
    if (user.createHome && user.name != "root" && home.size() > 1)
        TRY_IN(quoted(home), makeHome(root, home, owner));
    TRY_IN(quoted(home), addKeys(root, home, user.keys, owner));
    TRY_IN("sudo", addSudo(root, user));
    return {};
}

Status writeSetupFile(const Fd &root, Accounts &accounts, const spec::SetupFile &file)
{
    const std::uint32_t uid = TRY(ownerOf(accounts, file.user)).uid;
    std::uint32_t gid = 0;
    if (std::vector<std::string> *row = accounts.group.find(file.group))
        gid = static_cast<std::uint32_t>(TRY(parseUnsigned(accounts.group.field(*row, kGroupGid), 0, UINT32_MAX)));
    else if (file.group != "root")
        return Error(Code::Invalid, "the guest has no group " + quoted(file.group));
    if (const std::size_t slash = file.path.rfind('/'); slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(root, file.path.substr(0, slash), 0755, Scope::InRoot));
    const Fd target = TRY(path::open(root, file.path, O_RDWR | O_CREAT | kAlways, Scope::InRoot, 0600));
    TRY(checkRegular(target));
    if (file.append)
        TRY(sys::call("lseek", file.path, [&] { return ::lseek(target.get(), 0, SEEK_END); }));
    else
        TRY(sys::ftruncate(target, 0));
    TRY(files::writeAll(target, file.content));
    TRY(sys::fchown(target, uid, gid));
    return sys::fchmod(target, file.mode & 07777);
}

/// 127.0.1.1 is the host's own name where no interface has a fixed address (Debian's hosts(5)).
Status nameHost(const Fd &root, const std::string &line)
{
    if (line.empty())
        return {};
    const Fd file = TRY(path::open(root, "etc/hosts", O_RDWR | O_CREAT | kAlways, Scope::InRoot, 0644));
    TRY(checkRegular(file));
    std::string text;
    for (const std::string &old : split(TRY(files::readAll(file, kLongestTable)), '\n'))
        if (!old.empty() && !old.starts_with("127.0.1.1"))
            text += old + "\n";
    TRY(sys::ftruncate(file, 0));
    TRY(sys::call("lseek", "/etc/hosts", [&] { return ::lseek(file.get(), 0, SEEK_SET); }));
    return files::writeAll(file, text + line + "\n");
}

/// sshd(8) takes the first value it reads. Where its configuration includes a folder ours is a file there, which a new version
/// of the package leaves alone.
Status setSshPasswords(const Fd &root, const std::string &word)
{
    if (word.empty())
        return {};
    constexpr std::string_view kKey = "passwordauthentication";
    const std::string config = "etc/ssh/sshd_config";
    const std::string line = "PasswordAuthentication " + word + "\n";
    const auto main = path::open(root, config, O_RDONLY | kAlways, Scope::InRoot);
    if (!main && main.error().errnum != ENOENT)
        return main.error();
    std::string text;
    bool includes = !main.has_value(), matches = false;
    if (main) {
        TRY(checkRegular(*main));
        for (const std::string &old : split(TRY(files::readAll(*main, kLongestTable)), '\n')) {
            const std::vector<std::string> parts = words(old);
            includes = includes || (parts.size() > 1 && lower(parts[0]) == "include" && parts[1].starts_with("/etc/ssh/sshd_config.d/"));
            matches = matches || (!parts.empty() && lower(parts[0]) == "match"); // what follows is for some only
            if (matches || parts.empty() || lower(parts[0]) != kKey)
                text += old + "\n";
        }
        if (text.ends_with("\n\n"))
            text.pop_back();
    }
    if (includes) {
        TRY(path::makeFolders(root, "etc/ssh/sshd_config.d", 0755, Scope::InRoot));
        return replaceWhole(root, "etc/ssh/sshd_config.d/50-cloud-init.conf", line, {}, 0600);
    }
    return replaceWhole(root, config, line + text, TRY(sys::fstat(*main)), 0644);
}

Status saveAccounts(const Fd &root, const Accounts &accounts)
{
    for (const Table *table : {&accounts.group, &accounts.gshadow, &accounts.passwd, &accounts.shadow})
        TRY(table->save(root));
    return {};
}

} // namespace

Status setUpGuest(const Fd &root, const spec::GuestSetup &setup)
{
    if (setup.empty())
        return {};
    Accounts accounts = TRY_IN("accounts", readAccounts(root));
    for (const spec::GuestGroup &group : setup.groups)
        TRY(ensureGroup(accounts, group.name, false));
    for (const spec::GuestUser &user : setup.users)
        TRY_IN("user " + quoted(user.name), addUser(root, accounts, user));
    for (const spec::GuestGroup &group : setup.groups)
        for (const std::string &member : group.members)
            TRY(addToGroup(accounts, member, group.name));
    for (const spec::GuestPassword &password : setup.passwords)
        TRY_IN("chpasswd", applyPassword(accounts, password));
    TRY_IN("accounts", saveAccounts(root, accounts));
    for (const spec::GuestUser &user : setup.users)
        TRY_IN("user " + quoted(user.name), furnish(root, accounts, user));
    TRY_IN("write '/etc/hosts'", nameHost(root, setup.hosts));
    TRY_IN("ssh_pwauth", setSshPasswords(root, setup.sshPasswords));
    for (const spec::SetupFile &file : setup.files)
        TRY_IN("write " + quoted(file.path), writeSetupFile(root, accounts, file));
    return {};
}

} // namespace lxmgr::runtime
