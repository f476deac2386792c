#include "backup/output.h"

#include "api/json.h"
#include "base/text.h"

#include <cstring>
#include <ctime>
#include <sys/wait.h>

namespace lxmgr::backup
{

namespace
{

constexpr const char *kLocked = "the repository is in use by another process (wait until that is through)";

struct Meaning {
    std::string_view id; ///< The message's, or how it begins with a star behind it.
    Code code;
    std::string_view words; ///< In place of borg's; "" for its own.
};
constexpr Meaning kMeanings[] = {
    {"Archive.AlreadyExists",                     Code::AlreadyExists, "a backup of that name exists already (give another name)"},
    {"Archive.DoesNotExist",                      Code::NotFound,      "there is no such backup"},
    {"Cache.CacheInitAbortedError",               Code::WrongState,    "the repository is not encrypted although a passphrase is set (unset backups.passphrase_file if that is meant)"},
    {"Cache.EncryptionMethodMismatch",            Code::Corrupt,       "the repository is encrypted otherwise than when it was last used: it is not the same one any more"},
    {"LockFailed",                                Code::Forbidden,     "the repository cannot be written to"},
    {"LockError*",                                Code::WrongState,    kLocked},
    {"LockTimeout",                               Code::WrongState,    kLocked},
    {"NoPassphraseFailure",                       Code::Forbidden,     "the repository is encrypted (name the file with its passphrase: lxmgr config set backups.passphrase_file=<file>)"},
    {"PassphraseWrong",                           Code::Forbidden,     "the passphrase in backups.passphrase_file is not that of the repository"},
    {"PasscommandFailure",                        Code::Forbidden,     ""},
    {"Repository.AtticRepository",                Code::Unsupported,   ""},
    {"Repository.DoesNotExist",                   Code::NotFound,      "there is no repository yet (the first backup makes it)"},
    {"Repository.InsufficientFreeSpaceError",     Code::NoSpace,       ""},
    {"Repository.InvalidRepository*",             Code::Corrupt,       "the folder holds no repository of borg"},
    {"Repository.StorageQuotaExceeded",           Code::NoSpace,       ""},
    {"IntegrityError",                            Code::Corrupt,       ""},
    {"FileIntegrityError",                        Code::Corrupt,       ""},
    {"DecompressionError",                        Code::Corrupt,       ""},
    {"Repository.ObjectNotFound",                 Code::Corrupt,       "a part of it is missing in the repository"},
};

const Meaning *meaningOf(const std::string &id)
{
    for (const Meaning &row : kMeanings) {
        const bool begins = row.id.ends_with('*') && id.starts_with(row.id.substr(0, row.id.size() - 1));
        if (begins || row.id == id)
            return &row;
    }
    return nullptr;
}

/// Of an exception with where it came from only what it says.
std::string lastLine(const std::string &text)
{
    std::string last;
    for (const std::string &line : split(text, '\n'))
        if (!trimmed(line).empty() && line.front() != ' ' && !line.starts_with("Platform: ") && !line.starts_with("Linux: ") &&
            !line.starts_with("Borg: ") && !line.starts_with("PID: ") && !line.starts_with("sys.argv: ") && !line.starts_with("SSH_"))
            last = line;
    return std::string(trimmed(last));
}

Result<api::Json> parsed(std::string_view json)
{
    auto document = api::Json::parse(json);
    if (!document)
        return std::move(document.error()).as(Code::Corrupt).in("what borg printed");
    return document;
}

Error unexpected() { return {Code::Corrupt, "borg printed something else than was asked of it (a version that is not known here?)"}; }

/// "2026-11-25T23:58:06.000000" in UTC, which is all that borg's time zone is here.
std::int64_t millisOf(const std::string &time)
{
    std::tm parts{};
    const char *rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        return 0;
    std::int64_t millis = std::int64_t{::timegm(&parts)} * 1000;
    if (*rest == '.' && std::strlen(rest) >= 4)
        millis += parseSigned(std::string_view(rest + 1, 3)).value_or(0);
    return millis;
}

Archive archiveOf(const api::Json &json)
{
    return {json.text("name"), json.text("comment"), millisOf(json.text("start"))};
}

std::uint64_t count(const api::Json &json, std::string_view name)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(json.integer(name), 0));
}

Sizes sizesOf(const api::Json &stats)
{
    return {count(stats, "original_size"), count(stats, "compressed_size"), count(stats, "deduplicated_size"), count(stats, "nfiles")};
}

std::string storedText(const api::Json &json)
{
    return humanBytes(Bytes{count(json, "original_size")}) + " in " + std::to_string(count(json, "nfiles")) + " files, " +
           humanBytes(Bytes{count(json, "deduplicated_size")}) + " of it new";
}

} // namespace

Line parseLine(const std::string &line)
{
    // A question for a passphrase, which nobody answers, stands in front of what follows.
    const std::size_t begin = line.find("{\"");
    const auto json = api::Json::parse(std::string_view(line).substr(begin == std::string::npos ? 0 : begin));
    if (!json || !json->isObject())
        return {Line::Kind::Warning, std::string(trimmed(line)), {}};
    const std::string type = json->text("type"), message = json->text("message"), id = json->text("msgid");
    const api::Json *finished = json->find("finished");
    if (finished && finished->asBool() && *finished->asBool())
        return {};
    if (type == "archive_progress")
        return {Line::Kind::Progress, storedText(*json), id};
    if (message.starts_with("Calculating total archive size"))
        return {};
    if (type == "progress_percent" || type == "progress_message")
        return {Line::Kind::Progress, std::string(trimmed(message)), id};
    if (type != "log_message")
        return {};
    if (json->text("name") == "borg.output.list")
        return {Line::Kind::Listed, message, id};
    const std::string level = json->text("levelname");
    if (level == "ERROR" || level == "CRITICAL")
        return {Line::Kind::Error, message, id};
    // There is never one of the files with the first backup of a guest.
    const bool firstOne = message.starts_with("The files cache can't be read") || message.starts_with("Continuing without files cache");
    if (level != "WARNING" || firstOne)
        return {};
    return {Line::Kind::Warning, message, id};
}

Error errorOf(const std::vector<Line> &errors, int status)
{
    for (const Line &line : errors)
        if (const Meaning *meaning = meaningOf(line.id))
            return {meaning->code, std::string(meaning->words.empty() ? lastLine(line.text) : meaning->words)};
    const std::string text = errors.empty() ? std::string() : lastLine(errors.front().text);
    if (text.find("[Errno 28]") != std::string::npos || text.find("[Errno 122]") != std::string::npos)
        return {Code::NoSpace, "borg: " + escaped(text)};
    if (!text.empty())
        return {Code::Internal, "borg: " + escaped(text)};
    if (WIFSIGNALED(status))
        return {Code::Internal, std::string("borg was ended by SIG") + ::sigabbrev_np(WTERMSIG(status))};
    return {Code::Internal, "borg ended with status " + std::to_string(WEXITSTATUS(status)) + " and said nothing"};
}

Result<std::vector<Archive>> parseArchives(std::string_view json)
{
    const api::Json document = TRY(parsed(json));
    const api::Json *list = document.find("archives");
    if (!list || !list->isArray())
        return unexpected();
    std::vector<Archive> archives;
    for (const api::Json &one : *list->asArray())
        archives.push_back(archiveOf(one));
    return archives;
}

Result<Sizes> parseCreated(std::string_view json)
{
    const api::Json document = TRY(parsed(json));
    const api::Json *archive = document.find("archive");
    const api::Json *stats = archive ? archive->find("stats") : nullptr;
    if (!stats)
        return unexpected();
    return sizesOf(*stats);
}

Result<ArchiveInfo> parseArchiveInfo(std::string_view json)
{
    const api::Json document = TRY(parsed(json));
    const api::Json *list = document.find("archives");
    if (!list || !list->isArray() || list->asArray()->size() != 1 || !list->asArray()->front().find("stats"))
        return unexpected();
    const api::Json &one = list->asArray()->front();
    return ArchiveInfo{archiveOf(one), sizesOf(*one.find("stats"))};
}

Result<RepositoryInfo> parseRepositoryInfo(std::string_view json)
{
    const api::Json document = TRY(parsed(json));
    const api::Json *repository = document.find("repository"), *encryption = document.find("encryption"), *cache = document.find("cache");
    const api::Json *stats = cache ? cache->find("stats") : nullptr;
    if (!repository || !encryption || !stats)
        return unexpected();
    return RepositoryInfo{repository->text("id"), encryption->text("mode"),
                          {count(*stats, "total_size"), count(*stats, "total_csize"), count(*stats, "unique_csize"), 0}};
}

std::optional<Pruned> parsePruned(const std::string &text)
{
    // "Keeping archive (rule: daily #1):   NAME  Wed, …", "Would prune:   NAME …", "Pruning archive (1/2):   NAME …"
    const std::size_t colon = text.find("): ");
    const bool kept = text.starts_with("Keeping "), would = text.starts_with("Would prune: ");
    if (!would && (colon == std::string::npos || (!kept && !text.starts_with("Pruning "))))
        return std::nullopt;
    const std::size_t from = would ? text.find(": ") + 2 : colon + 3;
    const std::vector<std::string> found = words(std::string_view(text).substr(from));
    if (found.empty())
        return std::nullopt;
    Pruned pruned{found.front(), kept, {}};
    constexpr std::string_view kRule = "(rule: ";
    if (const std::size_t rule = text.find(kRule); kept && rule != std::string::npos && rule < colon)
        pruned.rule = text.substr(rule + kRule.size(), colon - rule - kRule.size());
    return pruned;
}

} // namespace lxmgr::backup
