#include "images/build_job.h"

#include "base/text.h"

namespace lxmgr::images
{

namespace
{

constexpr std::string_view kMagic = "lxmgr-build-2\n";

/// Numbers as "N;", texts as "LENGTH:bytes".
class Packer
{
public:
    explicit Packer(std::string start) : m_bytes(std::move(start)) {}
    void item(std::uint32_t value) { m_bytes += std::to_string(value) + ";"; }
    void item(bool value) { item(static_cast<std::uint32_t>(value)); }
    void item(BuildStep::Kind kind) { item(static_cast<std::uint32_t>(kind)); }
    void item(const std::string &text) { m_bytes += std::to_string(text.size()) + ":" + text; }
    void item(const std::pair<std::string, std::string> &pair) { items(pair.first, pair.second); }
    void item(const BuildCache &cache) { items(cache.folder, cache.target); }
    void item(const BuildStep &step)
    {
        items(step.kind, step.title, step.outside, step.mayFail, step.argv, step.environment, step.path, step.content,
              step.mode, step.uid, step.gid, step.mostFile);
    }
    template <class T> void item(const std::vector<T> &list)
    {
        item(static_cast<std::uint32_t>(list.size()));
        for (const T &entry : list)
            item(entry);
    }
    template <class... T> void items(const T &...values) { (item(values), ...); }
    std::string take() { return std::move(m_bytes); }

private:
    std::string m_bytes;
};

class Unpacker
{
public:
    explicit Unpacker(std::string_view bytes) : m_bytes(bytes) {}
    bool fine() const { return m_fine; }
    bool atEnd() const { return m_bytes.empty(); }
    void item(std::uint32_t &value) { value = static_cast<std::uint32_t>(number(';')); }
    void item(bool &value)
    {
        std::uint32_t number = 0;
        item(number);
        value = number != 0;
    }
    void item(BuildStep::Kind &kind)
    {
        std::uint32_t number = 0;
        item(number);
        kind = static_cast<BuildStep::Kind>(number);
        m_fine = m_fine && number <= static_cast<std::uint32_t>(BuildStep::Kind::ApkProgram);
    }
    void item(std::string &text)
    {
        const std::uint64_t length = number(':');
        if (length > m_bytes.size())
            return fail();
        text = m_bytes.substr(0, length);
        m_bytes.remove_prefix(length);
    }
    void item(std::pair<std::string, std::string> &pair) { items(pair.first, pair.second); }
    void item(BuildCache &cache) { items(cache.folder, cache.target); }
    void item(BuildStep &step)
    {
        items(step.kind, step.title, step.outside, step.mayFail, step.argv, step.environment, step.path, step.content,
              step.mode, step.uid, step.gid, step.mostFile);
    }
    template <class T> void item(std::vector<T> &list)
    {
        std::uint32_t count = 0;
        item(count);
        for (std::uint32_t i = 0; i < count && m_fine; ++i)
            item(list.emplace_back());
    }
    template <class... T> void items(T &...values) { (item(values), ...); }

private:
    void fail() { m_fine = false; }
    std::uint64_t number(char end)
    {
        const std::size_t length = m_bytes.find(end);
        const auto value = parseUnsigned(m_bytes.substr(0, length), 0, UINT32_MAX);
        if (length == std::string_view::npos || !value) {
            fail();
            return 0;
        }
        m_bytes.remove_prefix(length + 1);
        return *value;
    }
    std::string_view m_bytes;
    bool m_fine = true;
};

template <class Coder, class Job> void walk(Coder &coder, Job &job)
{
    coder.items(job.rootfs, job.idBase, job.caches, job.files, job.resolvConf, job.seccomp, job.steps);
}

constexpr struct {
    BuildReport::Kind kind;
    char letter;
} kReportLetters[] = {
    {BuildReport::Kind::Title,  'T'},
    {BuildReport::Kind::Line,   'L'},
    {BuildReport::Kind::Ended,  'S'},
    {BuildReport::Kind::Failed, 'F'},
    {BuildReport::Kind::Done,   'D'},
};

} // namespace

std::string packJob(const BuildJob &job)
{
    Packer packer{std::string(kMagic)};
    walk(packer, job);
    return packer.take();
}

Result<BuildJob> unpackJob(std::string_view bytes)
{
    if (!bytes.starts_with(kMagic))
        return Error(Code::Corrupt, "build job: written by another version");
    Unpacker unpacker(bytes.substr(kMagic.size()));
    BuildJob job;
    walk(unpacker, job);
    if (!unpacker.fine() || !unpacker.atEnd())
        return Error(Code::Corrupt, "build job: broken off");
    return job;
}

std::string formatReport(const BuildReport &report)
{
    std::string line;
    for (const auto &row : kReportLetters)
        if (row.kind == report.kind)
            line = row.letter;
    if (report.kind == BuildReport::Kind::Ended)
        line += " " + std::to_string(report.step) + " " + std::to_string(report.status);
    else if (report.kind == BuildReport::Kind::Failed)
        line += " " + std::string(codeInfo(report.code).name) + " " + std::to_string(report.errnum) + " " +
                escaped(report.text);
    else
        line += " " + escaped(report.text);
    return line + "\n";
}

Result<BuildReport> parseReport(std::string_view line)
{
    const Error broken(Code::Corrupt, "report of the build helper: " + quoted(line.substr(0, 200)));
    if (line.size() < 2 || line[1] != ' ')
        return broken;
    BuildReport report;
    bool known = false;
    for (const auto &row : kReportLetters)
        if (row.letter == line[0]) {
            report.kind = row.kind;
            known = true;
        }
    if (!known)
        return broken;
    report.text = line.substr(2);
    if (report.kind == BuildReport::Kind::Ended) {
        const auto parts = words(report.text);
        if (parts.size() != 2)
            return broken;
        report.step = TRY(parseUnsigned(parts[0], 0, UINT32_MAX));
        report.status = static_cast<int>(TRY(parseUnsigned(parts[1], 0, 255)));
    } else if (report.kind == BuildReport::Kind::Failed) {
        const std::size_t first = report.text.find(' ');
        const std::size_t second = first == std::string::npos ? first : report.text.find(' ', first + 1);
        if (second == std::string::npos)
            return broken;
        for (const CodeInfo &info : kCodes)
            if (info.name == report.text.substr(0, first))
                report.code = info.code;
        report.errnum =
            static_cast<int>(TRY(parseUnsigned(report.text.substr(first + 1, second - first - 1), 0, 4095)));
        report.text.erase(0, second + 1);
    }
    return report;
}

} // namespace lxmgr::images
