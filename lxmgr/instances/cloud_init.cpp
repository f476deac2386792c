// cloud-init: planning it at a start, running what is left once the guest has booted, and telling how it ended.
#include "instances/cloud_init.h"

#include "base/log.h"
#include "base/text.h"
#include "config/cloud_parts.h"
#include "images/fingerprint.h"
#include "instances/manager.h"
#include "instances/names.h"
#include "kernel/files.h"
#include "kernel/proc.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <cerrno>
#include <crypt.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::string_view kSeedFolder = "/var/lib/cloud/seed/nocloud-net/";
constexpr std::string_view kNothing = "#cloud-config\n{}\n";
// What the templates of images for LXD give where the key is not set.
constexpr std::string_view kDhcp = "version: 1\n"
                                   "config:\n"
                                   "  - type: physical\n"
                                   "    name: eth0\n"
                                   "    subnets:\n"
                                   "      - type: dhcp\n"
                                   "        control: auto\n";
constexpr std::string_view kPending = "pending", kRunning = "running", kDone = "done", kFailed = "failed: ", kInterrupted = "interrupted: ";
/// A guest whose init says nothing about its boot gets its commands after this.
constexpr std::chrono::seconds kBootTime{120};
constexpr std::size_t kLongestStatus = 1U << 20;

bool isUnderWay(const std::string &result) { return result == kPending || result == kRunning; }

std::string hostNameOf(const config::CloudConfig &config)
{
    return config.hostname.empty() ? config.fqdn.substr(0, config.fqdn.find('.')) : config.hostname.substr(0, config.hostname.find('.'));
}

std::string cutOff() { return std::string(kInterrupted) + "the guest stopped while the commands of its first boot ran"; }

/// What a login of root would have, and what the instance's own keys say.
std::vector<std::pair<std::string, std::string>> environmentOf(const StringMap &expanded)
{
    constexpr std::string_view kPrefix = "environment.";
    StringMap environment = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                             {"LANG", "C.UTF-8"},
                             {"HOME", "/root"},
                             {"TERM", "linux"}};
    for (const auto &[name, value] : expanded)
        if (name.starts_with(kPrefix))
            environment[name.substr(kPrefix.size())] = value;
    return {environment.begin(), environment.end()};
}

/// Waits until `fd` can be read. False: the daemon ends first.
bool readable(int fd, const CloudRuns::Stop &stop)
{
    pollfd waiting[] = {
        {fd,               POLLIN, 0},
        {stop.event.get(), POLLIN, 0}
    };
    while (::poll(waiting, 2, -1) < 0 && errno == EINTR) {
    }
    return !stop.asked();
}

CloudResult toResult(const std::string &recorded)
{
    if (recorded.starts_with(kFailed))
        return {"failed", recorded.substr(kFailed.size()), {}};
    if (recorded.starts_with(kInterrupted))
        return {"interrupted", recorded.substr(kInterrupted.size()), {}};
    return {recorded.empty() ? "none" : recorded, {}, {}};
}

Result<std::string> randomWord(std::size_t length, std::string_view letters)
{
    std::string word;
    while (word.size() < length) {
        unsigned char byte = 0;
        if (::getrandom(&byte, 1, 0) != 1)
            return Error::fromErrno(errno, "getrandom");
        if (byte < 256 / letters.size() * letters.size()) // each letter as likely as the next
            word += letters[byte % letters.size()];
    }
    return word;
}

/// SHA-512, which every guest's login knows (crypt(5)).
Result<std::string> hashed(const std::string &password)
{
    const std::string salt =
        "$6$" + TRY(randomWord(16, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"));
    const auto data = std::make_unique<crypt_data>(); // 32 KiB, too much for a thread's stack
    const char *const hash = ::crypt_r(password.c_str(), salt.c_str(), data.get());
    if (!hash || hash[0] == '*')
        return Error::fromErrno(errno, "crypt");
    return std::string(hash);
}

/// None that is easily taken for another.
Result<std::string> madeUpPassword() { return randomWord(20, "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"); }

Result<spec::GuestUser> setupOf(const config::CloudUser &user)
{
    spec::GuestUser made{user.name, user.gecos, user.home, user.shell, user.primaryGroup, user.groups, user.sudo, user.keys,
                         user.passwordHash, user.locked, false, user.uid, user.system, user.createHome};
    if (made.passwordHash.empty() && !user.password.empty())
        made.passwordHash = TRY(hashed(user.password));
    made.passwordOfNew = made.passwordHash.empty();
    if (made.passwordOfNew)
        made.passwordHash = user.newPasswordHash;
    return made;
}

Status addPasswords(const config::CloudConfig &config, spec::GuestSetup &setup)
{
    using Kind = config::CloudPassword::Kind;
    std::string madeUp;
    for (const config::CloudPassword &each : config.passwords) {
        const std::string password = each.kind == Kind::Random ? TRY(madeUpPassword()) : each.value;
        setup.passwords.push_back({each.user, each.kind == Kind::Hash ? each.value : TRY(hashed(password)), config.expirePasswords});
        if (each.kind == Kind::Random)
            madeUp += each.user + ":" + password + "\n";
    }
    if (!madeUp.empty())
        setup.files.push_back({std::string(config::kMadeUpPasswords), madeUp, "root", "root", 0600, false});
    return {};
}

Result<Fd> nothing() { return sys::open("/dev/null", O_RDWR); }

} // namespace

std::string cloudDataHash(const std::string &name, const config::CloudTexts &texts)
{
    images::Sha256 hash;
    for (const std::string *part : {&name, &texts.user.value, &texts.vendor.value, &texts.network.value}) {
        const std::string counted = std::to_string(part->size()) + ":" + *part;
        hash.update(std::as_bytes(std::span(counted)));
    }
    return hash.finish();
}

std::string cloudMetaData(const std::string &name, const std::string &instanceId, const StringMap &expanded)
{
    return "#cloud-config\ninstance-id: " + instanceId + "\nlocal-hostname: " + name + "\n" + valueOf(expanded, "user.meta-data");
}

std::vector<spec::GuestFile> cloudSeed(const std::string &metaData, const config::CloudTexts &texts, const std::set<std::string> &targets)
{
    const auto orDefault = [](const std::string &text, std::string_view other) { return text.empty() ? std::string(other) : text; };
    const std::pair<const char *, std::string> files[] = {
        {"meta-data",      metaData                                },
        {"network-config", orDefault(texts.network.value, kDhcp)   },
        {"user-data",      orDefault(config::cloudBytes(texts.user.value), kNothing)   },
        {"vendor-data",    orDefault(config::cloudBytes(texts.vendor.value), kNothing) },
    };
    std::vector<spec::GuestFile> seed;
    for (const auto &[name, content] : files) {
        spec::GuestFile file;
        file.path = std::string(kSeedFolder) + name;
        if (targets.contains(file.path))
            continue;
        file.content = content;
        file.mode = 0600; // passwords and keys may be in it
        file.onlyWith = kCloudInitProgram;
        seed.push_back(std::move(file));
    }
    return seed;
}

Result<spec::GuestSetup> cloudSetup(const config::CloudConfig &config)
{
    spec::GuestSetup setup;
    for (const config::CloudGroup &group : config.groups)
        setup.groups.push_back({group.name, group.members});
    for (const config::CloudUser &user : config.users)
        setup.users.push_back(TRY(setupOf(user)));
    TRY(addPasswords(config, setup));
    if (config.sshPasswords)
        setup.sshPasswords = *config.sshPasswords ? "yes" : "no";
    if (!config.rootKeys.empty()) {
        spec::GuestUser root;
        root.name = "root";
        root.keys = config.rootKeys;
        setup.users.push_back(std::move(root));
    }
    if (const std::string name = hostNameOf(config); !name.empty()) {
        setup.files.push_back({"/etc/hostname", name + "\n", "root", "root", 0644, false});
        if (config.manageHosts)
            setup.hosts = "127.0.1.1 " + (config.fqdn.empty() || config.fqdn == name ? name : config.fqdn + " " + name);
    }
    for (const config::CloudFile &file : config.files)
        setup.files.push_back({file.path, file.content, file.user, file.group, file.mode, file.append});
    return setup;
}

Result<std::unique_ptr<CloudRuns>> CloudRuns::create(std::function<void()> wake)
{
    std::unique_ptr<CloudRuns> runs(new CloudRuns(std::move(wake)));
    runs->m_event = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!runs->m_event)
        return Error::fromErrno(errno, "eventfd");
    return runs;
}

CloudRuns::~CloudRuns()
{
    {
        const std::lock_guard lock(m_mutex);
        m_stopping = true;
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(m_event.get(), &one, sizeof one); // cannot fail: the counter is far from full
    m_wake();
    for (Run &run : m_runs)
        run.thread.join();
}

void CloudRuns::begin(Work work)
{
    const std::lock_guard lock(m_mutex);
    if (m_stopping)
        return;
    for (auto run = m_runs.begin(); run != m_runs.end();) {
        if (run->ended)
            run->thread.join();
        run = run->ended ? m_runs.erase(run) : std::next(run);
    }
    Run &run = m_runs.emplace_back();
    run.thread = std::thread([this, &run, work = std::move(work)] {
        work({[this] {
                  const std::lock_guard guard(m_mutex);
                  return m_stopping;
              },
              m_event});
        const std::lock_guard guard(m_mutex);
        run.ended = true;
    });
}

void CloudRuns::tell()
{
    const std::lock_guard lock(m_mutex);
    ++m_told;
    m_changed.notify_all();
}

bool CloudRuns::wait(std::chrono::steady_clock::time_point deadline, const std::function<bool()> &done)
{
    for (;;) {
        std::uint64_t told = 0;
        {
            const std::lock_guard lock(m_mutex);
            told = m_told;
        }
        if (done())
            return true;
        std::unique_lock lock(m_mutex);
        if (!m_changed.wait_until(lock, deadline, [&] { return m_told != told; }))
            return false;
    }
}

/// The seed comes with every start, as it costs nothing where it is as it was. Whether an image has cloud-init is looked up
/// once for each instance-id, and only where there is something to apply.
Result<CloudStart> Manager::planCloudInit(const store::Instance &row, const config::Expanded &all, const std::set<std::string> &targets)
{
    const config::CloudTexts texts = config::CloudTexts::of(all.config);
    CloudStart start;
    std::string id = valueOf(row.config, kCloudInstanceId), result = valueOf(row.config, kCloudResult);
    const std::string hash = cloudDataHash(row.name, texts), before = valueOf(row.config, kCloudDataHash);
    const bool isNew = id.empty() || (!before.empty() && before != hash);
    if (isNew) {
        id = newUuid();
        start.keys[kCloudInstanceId] = id;
        result.clear();
        start.keys[kCloudResult] = "";
    }
    if (before != hash)
        start.keys[kCloudDataHash] = hash;
    start.seed = cloudSeed(cloudMetaData(row.name, id, all.config), texts, targets);
    if (result == kRunning) {
        result = cutOff();
        start.keys[kCloudResult] = result;
    }
    if (isNew && texts.any() && !TRY(files({row.project, row.name})).stat(kCloudInitProgram))
        result = kPending;
    if (result.empty())
        return start;
    const config::CloudConfig config = TRY(config::readCloudConfig(texts));
    start.hostname = hostNameOf(config);
    if (result != kPending)
        return start;
    start.keys[kCloudResult] = result;
    start.setup = TRY(cloudSetup(config));
    for (const std::string &warning : config.warnings)
        log::warning("instance '" + row.name + "': " + warning);
    return start;
}

std::vector<std::string> Manager::cloudWarnings(const InstanceKey &key)
{
    const auto described = describe(key);
    if (!described || valueOf(described->row.config, kCloudResult).empty())
        return {};
    const auto config = config::readCloudConfig(config::CloudTexts::of(described->expanded.config));
    return config ? config->warnings : std::vector<std::string>{};
}

Status Manager::recordCloudInit(const InstanceKey &key, const std::string &result)
{
    {
        const auto lock = lockFor(key);
        const std::lock_guard guard(*lock);
        TRY(store::setInstanceConfig(m_s.db, TRY(find(key)).id, {{kCloudResult, result}}));
    }
    m_cloudRuns->tell();
    return {};
}

void Manager::beginCloudInit(const InstanceKey &key)
{
    const auto row = find(key);
    if (!row || !isUnderWay(valueOf(row->config, kCloudResult)))
        return;
    m_cloudRuns->begin([this, key](const CloudRuns::Stop &stop) {
        const std::string result = runCloudInit(key, stop);
        // The daemon ends: the next one goes on. The guest has ended before anything was run: its next start begins anew.
        if (!result.empty())
            if (Status recorded = recordCloudInit(key, result); !recorded && recorded.error().code != Code::NotFound)
                log::error("instance '" + key.name + "': what cloud-init.user-data did: " + recorded.error().message);
        m_cloudRuns->tell();
    });
}

/// What is to be recorded, "" for nothing.
std::string Manager::runCloudInit(const InstanceKey &key, const CloudRuns::Stop &stop)
{
    const auto row = find(key);
    const bool begun = row && valueOf(row->config, kCloudResult) == kRunning;
    const auto described = describe(key);
    const auto config = described ? config::readCloudConfig(config::CloudTexts::of(described->expanded.config))
                                  : Result<config::CloudConfig>(described.error());
    if (!config)
        return std::string(kInterrupted) + config.error().message;
    const config::CloudScript script = config::cloudScript(*config);
    if (script.text.empty())
        return std::string(kDone);
    if (!begun) {
        m_running->waitBooted(key, std::chrono::steady_clock::now() + kBootTime, stop.asked);
        if (stop.asked() || !m_running->find(key))
            return {};
        if (Status recorded = recordCloudInit(key, std::string(kRunning)); !recorded)
            return std::string(kFailed) + recorded.error().message;
    }
    const auto status = runCloudScript(key, script, begun, stop);
    if (stop.asked())
        return {};
    if (!status)
        return (begun ? std::string(kInterrupted) : std::string(kFailed)) + status.error().message;
    if (!status->ended)
        return cutOff();
    return status->failure.empty() ? std::string(kDone) : std::string(kFailed) + status->failure;
}

/// `begun`: an earlier daemon started it, and it goes on or has ended in the guest.
Result<config::CloudStatus> Manager::runCloudScript(const InstanceKey &key, const config::CloudScript &script, bool begun,
                                                    const CloudRuns::Stop &stop)
{
    const std::string folder(config::kCloudFolder);
    const std::string program = folder + "/script";
    if (begun) {
        spec::FilesClient inside = TRY(files(key));
        auto pid = inside.open(folder + "/pid", O_RDONLY | O_NOFOLLOW);
        const auto guest = m_running->find(key);
        if (!pid || !guest)
            return config::CloudStatus{}; // it was not reached
        const auto number = TRY(parseUnsigned(trimmed(TRY(files::readAll(pid->fd, 64))), 1, INT32_MAX));
        const auto goesOn = proc::findInside(guest->initPid, static_cast<pid_t>(number));
        if (goesOn && !readable(goesOn->get(), stop))
            return config::CloudStatus{};
    } else {
        {
            spec::FilesClient inside = TRY(files(key));
            TRY(inside.mkdir(folder, 0700, 0, 0, true));
            TRY(inside.mkdir("/var/log", -1, -1, -1, true));
            const auto write = [&](const std::string &path, const std::string &text) -> Status {
                return files::writeAll(TRY(inside.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700, 0, 0)).fd, text);
            };
            for (std::size_t i = 0; i < script.programs.size(); ++i)
                TRY(write(folder + "/" + config::cloudProgramName(i), script.programs[i]));
            TRY(write(folder + "/status", ""));
            TRY(write(program, script.text));
        }
        spec::ExecRequest request;
        request.environment = environmentOf(TRY(describe(key)).expanded.config);
        request.argv = {"/bin/sh", program};
        spec::MonitorClient client = TRY(monitor(key));
        const Fd null = TRY(nothing());
        TRY(client.exec(request, null.get(), null.get(), null.get()));
        if (!readable(client.fd(), stop))
            return config::CloudStatus{};
        // From here on what fails does so because the guest has ended, or boots anew and has another /run.
        const auto exit = client.waitExec();
        if (exit && !exit->error.empty())
            return Error(Code::Invalid, exit->error);
    }
    auto inside = files(key);
    const auto status = inside ? inside->open(folder + "/status", O_RDONLY | O_NOFOLLOW) : Result<spec::FilesClient::Opened>(inside.error());
    const auto text = status ? files::readAll(status->fd, kLongestStatus) : Result<std::string>(status.error());
    return text ? config::readCloudStatus(*text, script.steps) : config::CloudStatus{};
}

Result<CloudResult> Manager::waitForOwnCloudInit(const InstanceKey &key, std::chrono::steady_clock::time_point deadline)
{
    std::string result;
    Status problem;
    const bool ended = m_cloudRuns->wait(deadline, [&] {
        const auto row = find(key);
        result = row ? valueOf(row->config, kCloudResult) : std::string();
        if (!row)
            problem = row.error();
        else if (isUnderWay(result) && !m_running->find(key))
            problem = Error(Code::WrongState, "instance " + quoted(key.name) + " stopped before what its cloud-init.user-data asks for was done");
        return !problem || !isUnderWay(result);
    });
    TRY(std::move(problem));
    if (!ended)
        return Error(Code::Timeout, "what cloud-init.user-data of " + quoted(key.name) +
                                        " asks for is not done yet (it goes on; /var/log/cloud-init-output.log in the guest says how far it is)");
    CloudResult told = toResult(result);
    told.warnings = cloudWarnings(key);
    return told;
}

Result<CloudResult> Manager::waitCloudInit(const InstanceKey &key, std::chrono::milliseconds timeout)
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    const Described described = TRY(describe(key));
    if (!valueOf(described.row.config, kCloudResult).empty())
        return waitForOwnCloudInit(key, deadline);
    if (!described.guest)
        return Error(Code::WrongState, "Instance is not running: " + quoted(key.name));
    if (!TRY(files(key)).stat(kCloudInitProgram))
        return CloudResult{"none", {}, {}};
    spec::ExecRequest request;
    request.environment = environmentOf(described.expanded.config);
    request.argv = {kCloudInitProgram, "status", "--wait", "--long"};
    spec::MonitorClient client = TRY(monitor(key));
    program::Pipe output = TRY(program::Pipe::create());
    const Fd null = TRY(nothing());
    TRY(client.exec(request, null.get(), output.write.get(), output.write.get()));
    output.write = Fd();
    std::string said;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        pollfd waiting{output.read.get(), POLLIN, 0};
        const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return Error(Code::Timeout, "cloud-init of " + quoted(key.name) + " has not finished yet (it goes on; /var/log/cloud-init.log in the "
                                                                               "guest says how far it is)");
        char buffer[4096];
        const ssize_t got = ::read(output.read.get(), buffer, sizeof buffer);
        if (got <= 0)
            break;
        if (said.size() < kLongestStatus / 16)
            said.append(buffer, static_cast<std::size_t>(got));
    }
    const spec::ExecExit exit = TRY(client.waitExec());
    // cloud-init status: 1 for an error, 2 for one that it got over.
    std::string words;
    for (const std::string &line : split(said, '\n'))
        if (const std::string_view text = trimmed(line); !text.empty())
            words.append(words.empty() ? "" : "; ").append(text);
    if (exit.exitCode == 0)
        return CloudResult{"done", {}, {}};
    if (exit.exitCode == 2)
        return CloudResult{"done", {}, {"cloud-init: " + words}};
    return CloudResult{"failed", "cloud-init: " + words, {}};
}

} // namespace lxmgr::instances
