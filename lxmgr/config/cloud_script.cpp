// What is left of #cloud-config for a guest that has booted, as one program for its own sh(1): packages, time zone and commands.
// The commands share one shell, as they do with cloud-init: a `cd` or a variable holds for the next.
#include "config/cloud_config.h"

#include "base/text.h"

namespace lxmgr::config
{

namespace
{

/// The one way text gets into a shell program: nothing inside single quotes means anything.
std::string shellQuoted(std::string_view text)
{
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string shellQuoted(const std::vector<std::string> &words)
{
    std::string out;
    for (const std::string &word : words)
        out += (out.empty() ? "" : " ") + shellQuoted(word);
    return out;
}

// The trap tells of the step that ended the whole program (`exit`, or what sh(1) cannot read), and that it ended.
constexpr std::string_view kHead = R"sh(#!/bin/sh
# Written by lxmgr: what the instance's cloud-init.user-data asks for once it has booted.
umask 022
exec </dev/null >>/var/log/cloud-init-output.log 2>&1
lxmgr_folder=/run/lxmgr-cloud-init
lxmgr_step=
lxmgr_done() {
    [ "$1" -eq 0 ] || echo "$lxmgr_step $1" >>"$lxmgr_folder/status"
}
lxmgr_end() {
    lxmgr_status=$?
    [ -z "$lxmgr_step" ] || [ "$lxmgr_status" -eq 0 ] || echo "$lxmgr_step $lxmgr_status" >>"$lxmgr_folder/status"
    echo end >>"$lxmgr_folder/status"
}
trap lxmgr_end EXIT
echo $$ >"$lxmgr_folder/pid"
)sh";

constexpr std::string_view kPackages = R"sh(
lxmgr_online() {
    # A guest that has booted may still wait for its lease; without a default route in half a minute it goes on as it is.
    lxmgr_waited=0
    while [ "$lxmgr_waited" -lt 30 ] && ! grep -q '^[^[:space:]]*[[:space:]]00000000[[:space:]]' /proc/net/route; do
        sleep 1
        lxmgr_waited=$((lxmgr_waited + 1))
    done
}
lxmgr_update() {
    if command -v apt-get >/dev/null; then apt-get -q update
    elif command -v apk >/dev/null; then apk update
    elif command -v dnf >/dev/null; then dnf -q makecache
    elif command -v zypper >/dev/null; then zypper -n refresh
    elif command -v pacman >/dev/null; then pacman -Sy --noconfirm
    else echo "packages: the image has no package manager that is known"; return 1
    fi
}
lxmgr_upgrade() {
    if command -v apt-get >/dev/null; then DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold dist-upgrade
    elif command -v apk >/dev/null; then apk upgrade
    elif command -v dnf >/dev/null; then dnf -q -y upgrade
    elif command -v zypper >/dev/null; then zypper -n update
    elif command -v pacman >/dev/null; then pacman -Su --noconfirm
    else echo "packages: the image has no package manager that is known"; return 1
    fi
}
lxmgr_install() {
    if command -v apt-get >/dev/null; then DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold install -- "$@"
    elif command -v apk >/dev/null; then apk add -- "$@"
    elif command -v dnf >/dev/null; then
        for lxmgr_package do
            shift
            set -- "$@" "$(printf '%s' "$lxmgr_package" | sed 's/=/-/')"
        done
        dnf -q -y install -- "$@"
    elif command -v zypper >/dev/null; then zypper -n install -- "$@"
    elif command -v pacman >/dev/null; then pacman -S --noconfirm --needed -- "$@"
    else echo "packages: the image has no package manager that is known"; return 1
    fi
}
)sh";

constexpr std::string_view kTimezone = R"sh(
lxmgr_timezone() {
    [ -e "/usr/share/zoneinfo/$1" ] || { echo "timezone: no $1 in the image (its package tzdata is missing?)"; return 1; }
    ln -snf "/usr/share/zoneinfo/$1" /etc/localtime && echo "$1" >/etc/timezone
}
)sh";

class Writer
{
public:
    void step(const std::string &name, const std::string &command)
    {
        m_script.steps.push_back(name);
        m_steps += "\nlxmgr_step=" + std::to_string(m_script.steps.size()) + "\n" + command + "\nlxmgr_done $?\n";
    }

    void commands(const std::string &module, const std::vector<CloudCommand> &commands)
    {
        for (std::size_t i = 0; i < commands.size(); ++i) {
            const CloudCommand &command = commands[i];
            const std::string text = command.argv.empty() ? command.line : join(command.argv, " ");
            // eval: one that is no shell text ends with itself instead of taking the rest of the program along.
            step(module + " " + std::to_string(i + 1) + " (" + shortened(text) + ")",
                 command.argv.empty() ? "eval " + shellQuoted(command.line) : shellQuoted(command.argv));
        }
    }

    CloudScript take(const std::string &functions)
    {
        if (!m_script.steps.empty())
            m_script.text = std::string(kHead) + functions + m_steps + "\nlxmgr_step=\n";
        return std::move(m_script);
    }

private:
    static std::string shortened(const std::string &text)
    {
        constexpr std::size_t kMost = 60;
        return escaped(text.size() > kMost ? text.substr(0, kMost) + "…" : text);
    }

    CloudScript m_script;
    std::string m_steps;
};

} // namespace

std::string cloudProgramName(std::size_t number) { return number == 0 ? "user-data" : "user-data-" + std::to_string(number + 1); }

CloudScript cloudScript(const CloudConfig &config)
{
    Writer writer;
    writer.commands("bootcmd", config.bootcmd);
    std::string functions;
    if (config.packageUpdate || config.packageUpgrade || !config.packages.empty()) {
        functions += kPackages;
        // Lists of packages are not in images, or are too old.
        writer.step("package_update", "lxmgr_online; lxmgr_update");
    }
    if (config.packageUpgrade)
        writer.step("package_upgrade", "lxmgr_upgrade");
    if (!config.packages.empty())
        writer.step("packages (" + join(config.packages, " ") + ")", "lxmgr_install " + shellQuoted(config.packages));
    if (!config.timezone.empty()) {
        functions += kTimezone;
        writer.step("timezone (" + config.timezone + ")", "lxmgr_timezone " + shellQuoted(config.timezone));
    }
    writer.commands("runcmd", config.runcmd);
    for (std::size_t i = 0; i < config.programs.size(); ++i)
        writer.step(config.programs.size() == 1 ? "the program in user data" : "program " + std::to_string(i + 1) + " in user data",
                    shellQuoted(std::string(kCloudFolder) + "/" + cloudProgramName(i)));
    CloudScript script = writer.take(functions);
    script.programs = config.programs;
    return script;
}

CloudStatus readCloudStatus(std::string_view text, const std::vector<std::string> &steps)
{
    CloudStatus status;
    for (const std::string &line : split(text, '\n')) {
        if (line == "end") {
            status.ended = true;
            continue;
        }
        // The guest's own root can write here what it likes: what does not fit is passed over.
        const std::vector<std::string> fields = words(line);
        if (fields.size() != 2)
            continue;
        const auto step = parseUnsigned(fields[0], 1, steps.size());
        const auto code = parseUnsigned(fields[1], 1, 255);
        if (!step || !code)
            continue;
        status.failure += (status.failure.empty() ? "" : "; ") + steps[*step - 1] + " ended with status " + std::to_string(*code);
        if (status.failure.size() > 1000)
            break;
    }
    return status;
}

} // namespace lxmgr::config
