// backup create, list, show, info, verify, restore, delete, prune.
#include "api/backups.h"
#include "api/operations.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace lxmgr::cli
{

namespace
{

using api::RepositoryBackup;

constexpr std::string_view kBackups = "/1.0/lxmgr/backups";
constexpr std::string_view kRepository = "/1.0/lxmgr/backup-repository";
constexpr std::string_view kLatest = "latest";
constexpr std::string_view kRules[] = {"last", "hourly", "daily", "weekly", "monthly", "yearly"};

// clang-format off
constexpr Column<RepositoryBackup> kColumns[] = {
    {'i', "INSTANCE", "Whose it is.", [](const RepositoryBackup &b) { return b.instance; }},
    {'n', "NAME", "Its name.", [](const RepositoryBackup &b) { return b.name; }},
    {'T', "TAKEN AT", "When it was made.", [](const RepositoryBackup &b) { return dateText(b.createdAt); }},
    {'d', "DESCRIPTION", "What was said of it.", [](const RepositoryBackup &b) { return b.description; }},
};
// clang-format on

/// "web1/first", or "web1" for its newest.
struct BackupWord {
    std::string instance;
    std::string name;
    std::string path(std::initializer_list<std::string_view> sub = {}) const
    {
        std::string path = client::path(kBackups, {instance, name});
        for (const std::string_view part : sub)
            path = client::path(path, {part});
        return path;
    }
};
Result<BackupWord> backupWord(const std::string &word)
{
    const std::size_t slash = word.find('/');
    BackupWord backup{word.substr(0, slash), slash == std::string::npos ? std::string(kLatest) : word.substr(slash + 1)};
    TRY(checkInstanceName(backup.instance));
    TRY(checkObjectName("backup", backup.name));
    return backup;
}

void warnOf(Context &context, const api::Operation &done)
{
    if (const std::string warnings = done.metadata.text("warnings"); !warnings.empty())
        context.warn("Warning: " + escaped(warnings));
}

/// "web1/20261124-031500", from the URL that the daemon gave.
std::string givenName(const api::Operation &done)
{
    const auto list = done.resources ? done.resources->find("backups") : std::map<std::string, std::vector<std::string>>::const_iterator{};
    if (!done.resources || list == done.resources->end() || list->second.empty())
        return {};
    const std::string url = list->second.front().substr(0, list->second.front().find('?'));
    return url.size() > kBackups.size() ? url.substr(kBackups.size() + 1) : std::string();
}

} // namespace

ColumnSet backupColumns() { return describe<RepositoryBackup>("backup list", "inTd", kColumns); }

Result<int> backupCreate(Context &context, const Arguments &arguments)
{
    api::RepositoryBackupsPost post;
    post.instance = arguments.word(0);
    post.name = arguments.word(1);
    post.description = arguments.value("description", "");
    post.instanceOnly = arguments.has("instance-only");
    post.verify = !arguments.has("no-verify");
    TRY(checkInstanceName(post.instance));
    const api::Operation done =
        TRY(runWithProgress(context, "POST", std::string(kBackups), api::toJson(post), "Backing up " + post.instance));
    warnOf(context, done);
    context.say("Backup " + givenName(done) + " created: " + sizeText(done.metadata.integer("size")) + ", " +
                sizeText(done.metadata.integer("added")) + " of it new");
    return 0;
}

Result<int> backupList(Context &context, const Arguments &arguments)
{
    client::Parameters parameters = {{"recursion", "1"}};
    if (const std::string instance = arguments.word(0); !instance.empty()) {
        TRY(checkInstanceName(instance));
        parameters.emplace_back("instance", instance);
    }
    const client::Answer answer = TRY(context.client().request("GET", std::string(kBackups), {}, parameters));
    TRY(printList<RepositoryBackup>(context, arguments, backupColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> backupShow(Context &context, const Arguments &arguments)
{
    const BackupWord backup = TRY(backupWord(arguments.word(0)));
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(backup.path()))));
    return 0;
}

Result<int> backupInfo(Context &context, const Arguments &arguments)
{
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(std::string(kRepository)))));
    return 0;
}

Result<int> backupVerify(Context &context, const Arguments &arguments)
{
    if (arguments.words.empty())
        TRY(runWithProgress(context, "POST", client::path(kRepository, {"verify"}), {}, "Verifying the repository"));
    for (const std::string &word : arguments.words)
        TRY(runWithProgress(context, "POST", TRY(backupWord(word)).path({"verify"}), {}, "Verifying " + word));
    return 0;
}

Result<int> backupRestore(Context &context, const Arguments &arguments)
{
    const BackupWord backup = TRY(backupWord(arguments.word(0)));
    api::RepositoryRestorePost post;
    post.name = arguments.word(1).empty() ? backup.instance : arguments.word(1);
    post.pool = arguments.value("storage", "");
    for (const KeyValue &pair : TRY(keyValues(arguments.values("config"))))
        post.config[pair.key] = pair.value;
    TRY(checkInstanceName(post.name));
    warnOf(context, TRY(runWithProgress(context, "POST", backup.path({"restore"}), api::toJson(post), "Restoring " + post.name)));
    context.say("Restored " + post.name);
    return 0;
}

Result<int> backupDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &word : arguments.words) {
        if (word.find('/') == std::string::npos)
            return Error(Code::Usage, quoted(word) + " is not <instance>/<backup>");
        const BackupWord backup = TRY(backupWord(word));
        if (arguments.has("interactive") && !confirmed("Delete " + word))
            continue;
        TRY(runWithProgress(context, "DELETE", backup.path(), {}, "Deleting " + word));
    }
    return 0;
}

Result<int> backupPrune(Context &context, const Arguments &arguments)
{
    api::BackupPrunePost post;
    post.instances = arguments.words;
    post.dryRun = arguments.has("dry-run");
    for (const std::string_view rule : kRules)
        if (const auto count = arguments.value("keep-" + std::string(rule)))
            post.retention += (post.retention.empty() ? "" : " ") + std::string(rule) + "=" + *count;
    const api::Operation done =
        TRY(runWithProgress(context, "POST", client::path(kRepository, {"prune"}), api::toJson(post), "Pruning"));
    const api::Json *list = done.metadata.find("backups");
    for (const api::Json &one : list && list->isArray() ? *list->asArray() : api::Json::Array{}) {
        const bool *kept = one.find("kept") ? one.find("kept")->asBool() : nullptr;
        const std::string name = one.text("instance") + "/" + one.text("name");
        if (kept && *kept)
            context.say("Keeping " + name + " (" + one.text("rule") + ")");
        else
            context.say((post.dryRun ? "Would delete " : "Deleted ") + name);
    }
    return 0;
}

} // namespace lxmgr::cli
