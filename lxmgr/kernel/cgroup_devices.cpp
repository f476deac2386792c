#include "kernel/cgroup_devices.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::cgroup
{

namespace
{

constexpr bpf_insn instruction(int code, int destination, int source, int offset, int immediate)
{
    bpf_insn out{};
    out.code = static_cast<std::uint8_t>(code);
    out.dst_reg = static_cast<std::uint8_t>(destination) & 15U;
    out.src_reg = static_cast<std::uint8_t>(source) & 15U;
    out.off = static_cast<std::int16_t>(offset);
    out.imm = immediate;
    return out;
}
constexpr bpf_insn load(int to, int offset) { return instruction(BPF_LDX | BPF_W | BPF_MEM, to, BPF_REG_1, offset, 0); }
constexpr bpf_insn setNumber(int to, int value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
constexpr bpf_insn copy(int to, int from) { return instruction(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0); }
constexpr bpf_insn bitAnd(int to, int mask) { return instruction(BPF_ALU | BPF_AND | BPF_K, to, 0, 0, mask); }
constexpr bpf_insn shiftRight(int to, int bits) { return instruction(BPF_ALU | BPF_RSH | BPF_K, to, 0, 0, bits); }
constexpr bpf_insn leave() { return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

enum Register { Answer = BPF_REG_0, Kind = BPF_REG_2, Access = BPF_REG_3, Major = BPF_REG_4, Minor = BPF_REG_5, Scratch = BPF_REG_6 };

int accessBits(const std::string &access)
{
    int bits = 0;
    for (const char c : access)
        bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
    return bits;
}

/// "Is it this one, and all that is asked for allowed? Then yes." A jump that says no goes to the next rule.
void addRule(std::vector<bpf_insn> &program, const DeviceRule &rule)
{
    std::vector<bpf_insn> body;
    std::vector<std::size_t> toNext;
    const auto unlessEqual = [&](int reg, std::uint32_t value) {
        toNext.push_back(body.size());
        body.push_back(instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int>(value)));
    };
    if (rule.kind != 'a')
        unlessEqual(Kind, rule.kind == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (rule.major)
        unlessEqual(Major, *rule.major);
    if (rule.minor)
        unlessEqual(Minor, *rule.minor);
    body.push_back(copy(Scratch, Access));
    body.push_back(bitAnd(Scratch, ~accessBits(rule.access)));
    unlessEqual(Scratch, 0);
    body.push_back(setNumber(Answer, 1));
    body.push_back(leave());
    for (const std::size_t at : toNext)
        body[at].off = static_cast<std::int16_t>(body.size() - at - 1);
    program.insert(program.end(), body.begin(), body.end());
}

std::vector<bpf_insn> buildProgram(const std::vector<DeviceRule> &rules)
{
    // struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
    std::vector<bpf_insn> program = {load(Kind, 0),  copy(Access, Kind),           shiftRight(Access, 16),
                                     bitAnd(Kind, 0xffff), load(Major, 4), load(Minor, 8)};
    for (const DeviceRule &rule : rules)
        addRule(program, rule);
    program.push_back(setNumber(Answer, 0));
    program.push_back(leave());
    return program;
}

Result<long> bpf(std::string_view what, int command, bpf_attr &attr)
{
    return sys::call("bpf", what, [&] { return ::syscall(SYS_bpf, command, &attr, sizeof attr); });
}

Result<Fd> loadProgram(const std::vector<bpf_insn> &program)
{
    bpf_attr attr{};
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = reinterpret_cast<std::uint64_t>(program.data());
    attr.insn_cnt = static_cast<std::uint32_t>(program.size());
    attr.license = reinterpret_cast<std::uint64_t>("Apache-2.0");
    return Fd(static_cast<int>(TRY(bpf("load device program", BPF_PROG_LOAD, attr)))); // close-on-exec by itself
}

/// The program attached to this very folder by us before; empty Fd: none.
Result<Fd> attachedProgram(const Fd &folder)
{
    std::uint32_t id = 0;
    bpf_attr query{};
    query.query.target_fd = static_cast<std::uint32_t>(folder.get());
    query.query.attach_type = BPF_CGROUP_DEVICE;
    query.query.prog_cnt = 1;
    query.query.prog_ids = reinterpret_cast<std::uint64_t>(&id);
    TRY(bpf("query device program", BPF_PROG_QUERY, query));
    if (query.query.prog_cnt == 0)
        return Fd();
    bpf_attr open{};
    open.prog_id = id;
    return Fd(static_cast<int>(TRY(bpf("open device program", BPF_PROG_GET_FD_BY_ID, open))));
}

Result<std::optional<std::uint32_t>> parseNumber(std::string_view text)
{
    if (text == "*")
        return std::optional<std::uint32_t>();
    return std::optional(static_cast<std::uint32_t>(TRY(parseUnsigned(text, 0, UINT32_MAX))));
}

Result<DeviceRule> parseRule(const std::string &line)
{
    const std::vector<std::string> parts = words(line);
    const auto known = [](char c) { return c == 'r' || c == 'w' || c == 'm'; };
    const bool shaped = parts.size() == 3 && (parts[0] == "a" || parts[0] == "b" || parts[0] == "c") &&
                        std::ranges::all_of(parts[2], known) && std::ranges::count(parts[1], ':') == 1;
    if (!shaped)
        return Error(Code::Invalid, "Not a device rule: " + quoted(line) + " (like \"c 1:3 rwm\")");
    const std::vector<std::string> numbers = split(parts[1], ':');
    return DeviceRule{parts[0][0], TRY_IN(quoted(line), parseNumber(numbers[0])),
                      TRY_IN(quoted(line), parseNumber(numbers[1])), parts[2]};
}

} // namespace

std::string formatDeviceRule(const DeviceRule &rule)
{
    const auto text = [](const std::optional<std::uint32_t> &number) { return number ? std::to_string(*number) : "*"; };
    return std::string(1, rule.kind) + " " + text(rule.major) + ":" + text(rule.minor) + " " + rule.access;
}

Result<std::vector<DeviceRule>> parseDeviceRules(std::string_view lines)
{
    std::vector<DeviceRule> rules;
    for (const std::string &line : split(lines, '\n'))
        if (!trimmed(line).empty())
            rules.push_back(TRY(parseRule(line)));
    return rules;
}

Status writeDeviceList(const Fd &folder, std::string_view rules)
{
    const std::vector<DeviceRule> wanted = TRY(parseDeviceRules(rules));
    std::vector<DeviceRule> now = TRY(parseDeviceRules(TRY(files::read(folder, "devices.list"))));
    const auto isAll = [](const DeviceRule &rule) { return rule.kind == 'a'; };
    if (std::ranges::any_of(wanted, isAll))
        return std::ranges::any_of(now, isAll) ? Status() : files::put(folder, "devices.allow", "a");
    if (std::ranges::any_of(now, isAll)) { // a folder that nobody is in yet, or whose guest had them all
        TRY(files::put(folder, "devices.deny", "a"));
        now.clear();
    }
    // "c 1:3 rwm" and "c 1:3 r" are of one entry of the kernel's.
    const auto missingIn = [](const std::vector<DeviceRule> &others, const DeviceRule &rule) {
        DeviceRule missing = rule;
        for (const DeviceRule &other : others)
            if (other.kind == rule.kind && other.major == rule.major && other.minor == rule.minor)
                std::erase_if(missing.access, [&](char c) { return other.access.find(c) != std::string::npos; });
        return missing;
    };
    for (const DeviceRule &rule : wanted)
        if (const DeviceRule missing = missingIn(now, rule); !missing.access.empty())
            TRY_IN(quoted(formatDeviceRule(rule)), files::put(folder, "devices.allow", formatDeviceRule(missing)));
    for (const DeviceRule &rule : now)
        if (const DeviceRule extra = missingIn(wanted, rule); !extra.access.empty())
            TRY_IN(quoted(formatDeviceRule(rule)), files::put(folder, "devices.deny", formatDeviceRule(extra)));
    return {};
}

Status attachDeviceProgram(const Fd &folder, std::string_view rules)
{
    Result<Fd> program = loadProgram(buildProgram(TRY(parseDeviceRules(rules))));
    if (!program && (program.error().errnum == EINVAL || program.error().errnum == ENOSYS))
        return std::move(program.error()).as(Code::Unsupported).hint("the kernel needs CONFIG_CGROUP_BPF");
    const Fd fresh = TRY(std::move(program));
    const Fd earlier = TRY(attachedProgram(folder));
    bpf_attr attach{};
    attach.target_fd = static_cast<std::uint32_t>(folder.get());
    attach.attach_bpf_fd = static_cast<std::uint32_t>(fresh.get());
    attach.attach_type = BPF_CGROUP_DEVICE;
    // Multi: a guest's systemd may narrow it further for its services; each program has to say yes.
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    if (earlier) {
        attach.attach_flags |= BPF_F_REPLACE; // Linux 5.6
        attach.replace_bpf_fd = static_cast<std::uint32_t>(earlier.get());
    }
    TRY(bpf("attach device program", BPF_PROG_ATTACH, attach));
    return {};
}

} // namespace lxmgr::cgroup
