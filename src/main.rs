//! The `ducto` command.

fn main() -> std::process::ExitCode {
    ducto::main()
}
