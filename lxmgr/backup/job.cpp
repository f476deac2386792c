#include "backup/job.h"

#include "base/pieces.h"

namespace lxmgr::backup
{

std::string encode(const Job &job)
{
    PieceWriter pieces;
    pieces.number(static_cast<std::uint64_t>(job.use));
    for (const std::string *text : {&job.program, &job.repository, &job.base, &job.index})
        pieces.text(*text);
    pieces.texts(job.arguments);
    pieces.texts(job.environment);
    pieces.number(job.sources.size());
    for (const images::ExportSource &source : job.sources)
        images::putSource(pieces, source);
    return std::move(pieces).take();
}

Result<Job> decode(std::string_view bytes)
{
    PieceReader pieces(bytes);
    Job job;
    job.use = static_cast<Use>(TRY(pieces.number()));
    for (std::string *text : {&job.program, &job.repository, &job.base, &job.index})
        *text = TRY(pieces.text());
    job.arguments = TRY(pieces.texts());
    job.environment = TRY(pieces.texts());
    for (std::uint64_t left = TRY(pieces.number()); left > 0; --left)
        job.sources.push_back(TRY(images::takeSource(pieces)));
    return job;
}

} // namespace lxmgr::backup
