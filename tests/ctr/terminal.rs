//! `-it`: a prompt, job control, a window that changes its size, and the way out that leaves the container running.

use crate::lab::Lab;
use crate::person::Person;
use testkit::need;

#[test]
fn a_shell_that_can_be_worked_in() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person = Person::new(&lab, &["run", "--rm", "-it", "-e", "PS1=ready> ", "host", "bash", "--norc"]);
    person.sees("ready> ");
    person.types("tty; stty size\n");
    person.sees("/dev/pts/0");
    person.sees("24 80");
    person.resizes(30, 100);
    person.sees("ready> ");
    person.types_until("stty size\n", "30 100");
    // job control: stopped by ^Z, listed, brought back, ended by ^C
    person.types("sleep 500\n");
    // the line is taken: what is typed before that goes with a key that is a signal
    person.sees("sleep 500");
    person.sees("\n");
    person.types_until("\x1a", "Stopped");
    person.types("jobs; fg\n");
    // as what was stopped, as a job, and as what goes on
    person.sees("sleep 500");
    person.sees("sleep 500");
    person.sees("sleep 500");
    person.types_until("\x03", "ready> ");
    person.types("exit 5\n");
    assert_eq!(person.ends(), 5);
}

#[test]
fn detaching_leaves_it_running() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut person =
        Person::new(&lab, &["run", "-it", "--name", "left", "-e", "PS1=ready> ", "host", "bash", "--norc"]);
    person.sees("ready> ");
    person.types("\x10\x11");
    assert_eq!(person.ends(), 0);
    assert_eq!(lab.field("left", "{{.State.Status}}"), "running");
    let mut person = Person::new(&lab, &["exec", "-it", "left", "sh", "-c", "stty size; exit 6"]);
    person.sees("24 80");
    assert_eq!(person.ends(), 6);
}
