// Planning: template + release + archive → the steps of a build. Pure; the confined helper carries the steps out.
#pragma once

#include "images/apk.h"
#include "images/build_job.h"
#include "images/metadata.h"
#include "images/mirror.h"
#include "images/template.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::images
{

/// What a plan needs to know of the host.
struct BuildHost {
    HostArchives archives;
    std::string busybox;                         ///< Path of a static busybox, "" if there is none.
    std::map<std::string, std::string> keyrings; ///< File name → content, of every keyring the template names.
    std::string resolvConf;
    std::string apk;                  ///< Path of the host's apk, "" if there is none.
    std::optional<ApkEntry> apkTools; ///< Where there is none: the archive's own, found by planApkSearch().
};

struct BuildPlan {
    BuildJob job;
    Archive archive;                              ///< url is empty for templates without one.
    std::vector<TemplateRule> rules;              ///< For metadata.yaml.
    std::map<std::string, std::string> templates; ///< File below templates/ → content.
    std::vector<std::string> hosts;               ///< Rules whose content is the tree's own file and a line more.
    std::map<std::string, std::string> properties;
    std::size_t bootstrapStep = 0; ///< The failure of a program up to this one is the archive's.
};

/// The values that a definition's own texts may use: image.release, image.distribution, ….
std::map<std::string, std::string> imageValues(const Template &definition, const ResolvedImage &image);
bool admits(const Filter &filter, const Template &definition, const ResolvedImage &image);

/// Fetches `url` to the file `target` of the confined view, through the host's proxies, and at most `most` bytes of it
/// (0: all there are).
BuildStep fetchStep(const Archive &archive, const std::string &url, const std::string &target, std::uint32_t most);

/// For a host without apk: asks the archive's signed index for the static one. The last line that the job prints is the
/// entry (parseApkEntry). Invalid: a key of the template's that is none; Unavailable: it has no key.
Result<BuildJob> planApkSearch(const Template &definition, const ResolvedImage &image, const Archive &archive,
                               const BuildHost &host);

/// `archive` is ignored by templates without one.
Result<BuildPlan> planBuild(const Template &definition, const ResolvedImage &image, const Archive &archive,
                            const BuildHost &host);

} // namespace lxmgr::images
