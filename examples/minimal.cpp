/*
 * minimal.cpp: minimal.c in C++17, by edgellm.hpp: what was opened closes itself, a failure is an
 * exception.
 *
 *   minimal_cpp MODEL PROMPT
 */
#include <cstdio>
#include <string>

#include <edgellm.hpp>

int main(int argc, char **argv)
{
    constexpr std::size_t longest_answer = 128; // in tokens
    if (argc != 3) {
        std::fputs("usage: minimal_cpp MODEL PROMPT\n", stderr);
        return EDGELLM_ERR_USAGE;
    }
    try {
        const edgellm::engine engine(argv[1]);
        edgellm::session session(engine);
        const edgellm::tokens prompt = engine.chat_prompt({{"user", argv[2]}});
        const std::string text = session.answer(prompt, longest_answer) + '\n';
        if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
            std::fflush(stdout) != 0)
            throw std::runtime_error("cannot write the answer");
    } catch (const edgellm::error &error) {
        std::fprintf(stderr, "minimal_cpp: %s\n", error.what());
        return error.status;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "minimal_cpp: %s\n", error.what());
        return EDGELLM_ERR_INTERNAL;
    }
    return 0;
}
