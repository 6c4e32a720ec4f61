//! Lesson 7: backpropagation through time, in a net that learns to write.
//!
//!     cargo run --release --example 07_char_lstm
//!     cargo run --release --example 07_char_lstm 12 FOLDER    # 12 epochs, and what scripts/torch_char_lstm.py compares
//!
//! The net reads a text character by character and predicts the next one. What it has read it keeps in a state, so its
//! output depends on all characters before, and so does the gradient: it flows back through every step that made the state.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use chainrule::nn::LstmCell;
use chainrule::prelude::*;

/// Four chapters of a book from 1865: texts/README.md has its source.
const TEXT: &str = include_str!("texts/alice.txt");
/// N: places of the text that are read at the same time.
const STREAMS: usize = 16;
/// T: steps that are unrolled, and through which the gradient flows back.
const STEPS: usize = 32;
/// H: numbers in the state.
const HIDDEN: usize = 96;
const LR: f64 = 1e-2;
const MAX_NORM: f64 = 0.5;

struct CharLstm {
    cell: LstmCell<f64>,
    head: Linear<f64>,
}

/// What the cell keeps from step to step: its output h and its memory c, (N,H) each.
type State = (Var64, Var64);

impl CharLstm {
    fn new(characters: usize, rng: &mut Rng) -> Self {
        Self { cell: LstmCell::new(characters, HIDDEN, rng), head: Linear::new(HIDDEN, characters, rng) }
    }

    /// The cell's memory is c′ = f·c + i·g, with 0 < f = σ(a_f) < 1: the forget gate. So ∂c′/∂c = f, besides what comes
    /// through h, and k steps back the gradient has been multiplied by k such factors. With biases near 0, f is near ½ and
    /// 20 steps divide it by a million. With a bias of 1, f is near 0.73, and the net can learn values closer to 1 where it
    /// has something to remember (Gers, Schmidhuber, Cummins: "Learning to forget", 2000).
    fn add_to_forget_bias(&self, bias: f64) {
        for (name, parameter) in self.cell.named_parameters() {
            if name == "bias_ih" {
                // (4H): the gates i, f, g, o.
                let mut values = parameter.value().to_vec();
                values[HIDDEN..2 * HIDDEN].iter_mut().for_each(|value| *value += bias);
                parameter.set(&values.into());
            }
        }
    }

    fn zeros(streams: usize) -> State {
        let zeros = || Var64::constant(Tensor64::zeros([streams, HIDDEN]));
        (zeros(), zeros())
    }

    /// Reads T characters of each stream, x (T·N, V): the logits of those that follow, (T·N, V), and the state after each
    /// step. The same weights serve every step. In the graph they are operands of T steps, so their gradient is a sum of T
    /// terms, and the walk adds them as it does for any value that is used more than once.
    fn read(&self, x: &Var64, before: &State) -> (Var64, Vec<State>) {
        let streams = before.0.shape()[0];
        let mut states: Vec<State> = Vec::new();
        for t in 0..x.shape()[0] / streams {
            let (h, c) = states.last().unwrap_or(before);
            let next = self.cell.step(&x.narrow(0, t * streams..(t + 1) * streams), (h, c));
            states.push(next);
        }
        // The head has no state: one product for all steps.
        let outputs: Vec<&Var64> = states.iter().map(|(h, _)| h).collect();
        (self.head.forward(&Var64::concat(&outputs, 0)), states)
    }
}

impl Module<f64> for CharLstm {
    children!(f64: cell, head);

    /// One stream, read from its beginning: x (T,V) → (T,V).
    fn forward(&self, x: &Var64) -> Var64 {
        self.read(x, &Self::zeros(1)).0
    }
}

/// The distinct characters of the text, in order; a character's place is its number.
struct Vocabulary(Vec<char>);

impl Vocabulary {
    fn of(text: &str) -> Self {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        Self(characters)
    }

    fn numbers(&self, text: &str) -> Vec<i32> {
        text.chars().map(|c| self.0.binary_search(&c).expect("the text has only these") as i32).collect()
    }

    /// A row of zeros with a single 1 for each character: multiplied by a matrix, it selects a column. (n) → (n, V).
    fn one_hot(&self, numbers: &[i32]) -> Var64 {
        Var64::constant(one_hot::<f64>(&numbers.to_vec().into(), self.0.len()))
    }

    /// Writes so many characters, each drawn from the probabilities that the net gives after those before it.
    fn sample(&self, net: &CharLstm, length: usize) -> String {
        let mut rng = Rng::seed(1);
        let (mut text, mut state) = (String::from("\n"), CharLstm::zeros(1));
        no_grad(|| {
            while text.len() <= length {
                let last = self.numbers(&text[text.len() - 1..]);
                let (logits, mut states) = net.read(&self.one_hot(&last), &state);
                state = states.pop().expect("one step");
                let mut rest = rng.uniform();
                let drawn = logits.softmax(1).value().to_vec().iter().position(|p| {
                    rest -= p;
                    rest < 0.0
                });
                text.push(self.0[drawn.unwrap_or(0)]);
            }
        });
        text.replace('\n', "\n    ")
    }
}

/// Batches of T steps for N streams, which are N equal parts of the text. Chunk k goes on where chunk k − 1 ended, so the
/// state after one is the state before the next. For each step t and stream n: the character, and the one that follows.
fn chunks(text: &[i32]) -> impl Iterator<Item = (Vec<i32>, Vec<i32>)> {
    let part = (text.len() - 1) / STREAMS;
    (0..part / STEPS).map(move |k| {
        let place = |i: usize| i % STREAMS * part + k * STEPS + i / STREAMS;
        (0..STEPS * STREAMS).map(|i| (text[place(i)], text[place(i) + 1])).unzip()
    })
}

/// How far back the gradient of the last step's loss reaches: its norm at the memory c, k steps before the last, as a share
/// of that at the last step.
fn reach(net: &CharLstm, vocabulary: &Vocabulary, text: &[i32]) -> String {
    let (inputs, labels) = chunks(text).next().expect("a chunk");
    let (logits, states) = net.read(&vocabulary.one_hot(&inputs), &CharLstm::zeros(STREAMS));
    let last = (STEPS - 1) * STREAMS..STEPS * STREAMS;
    let loss = logits.narrow(0, last.clone()).cross_entropy(&labels[last].to_vec().into());
    let memories: Vec<&Var64> = states.iter().map(|(_, c)| c).collect();
    let gradients = loss.backward_keeping(&memories);
    let norm = |k: usize| TensorOf::norm(&[&gradients[memories[STEPS - 1 - k]]]).item();
    [1, 5, 10, 20, 30].iter().fold(String::new(), |line, &k| line + &format!("{:>10.1e}", norm(k) / norm(0)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let epochs: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let folder = arguments.next();

    let vocabulary = Vocabulary::of(TEXT);
    let text = vocabulary.numbers(TEXT);
    // The last tenth is not trained on.
    let (train, held_out) = text.split_at(text.len() / 10 * 9);
    let guess = (vocabulary.0.len() as f64).ln();
    println!("{} characters, {} distinct: a guess costs {guess:.3} nats each", text.len(), vocabulary.0.len());

    let net = CharLstm::new(vocabulary.0.len(), &mut Rng::seed(0));
    let without_bias = reach(&net, &vocabulary, train);
    net.add_to_forget_bias(1.0);
    let with_bias = reach(&net, &vocabulary, train);
    println!("{} parameters\n", net.parameter_count());
    println!("before training, the net writes:{}\n", vocabulary.sample(&net, 200));
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)?;
        save_weights(&net, &Path::new(folder).join("initial.safetensors"))?;
    }

    let mut optimizer = Adam::new(net.parameters(), LR);
    let mut losses = String::new();
    for epoch in 1..=epochs {
        let (mut sum, mut steps, mut clipped) = (0.0, 0_u32, 0);
        let mut state = CharLstm::zeros(STREAMS);
        for (inputs, labels) in chunks(train) {
            let (logits, mut states) = net.read(&vocabulary.one_hot(&inputs), &state);
            let loss = logits.cross_entropy(&labels.into());
            let mut gradients = loss.backward();
            // Where factors above 1 multiply, gradients explode. One such step would ruin the weights, so the length of the
            // gradient is limited and its direction kept (Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent
            // neural networks", 2013).
            clipped += usize::from(gradients.clip_norm(MAX_NORM).item() > MAX_NORM);
            optimizer.step(&gradients);
            // Truncated backpropagation: the next chunk goes on with the values of the state, but its gradient ends there.
            // Without `detach` the graph would grow over the whole text, and its weights have changed since.
            let (h, c) = states.pop().expect("a chunk has steps");
            state = (h.detach(), c.detach());
            sum += loss.item();
            steps += 1;
            writeln!(losses, "{epoch} {}", loss.item())?;
        }
        let (mean, test) = (sum / f64::from(steps), held_out_loss(&net, &vocabulary, held_out));
        println!(
            "epoch {epoch:>2}: {mean:.3} nats a character, {clipped:>2} of {steps} steps clipped, held out {test:.3}"
        );
    }
    if let Some(folder) = &folder {
        std::fs::write(Path::new(folder).join("losses.txt"), losses)?;
    }

    println!("\nafter training:{}", vocabulary.sample(&net, 400));
    println!("\nthe gradient at the memory, as a share of that at the last step:");
    println!("{:<22}{:>10}{:>10}{:>10}{:>10}{:>10}", "steps back", 1, 5, 10, 20, 30);
    println!("{:<22}{without_bias}", "forget bias near 0");
    println!("{:<22}{with_bias}", "forget bias near 1");
    println!("{:<22}{}", "trained", reach(&net, &vocabulary, train));
    let bits = held_out_loss(&net, &vocabulary, held_out) / std::f64::consts::LN_2;
    println!("\nheld out: {bits:.2} bits a character");
    Ok(())
}

/// The mean loss of a text that is read in one go.
fn held_out_loss(net: &CharLstm, vocabulary: &Vocabulary, text: &[i32]) -> f64 {
    let (inputs, labels) = (&text[..text.len() - 1], &text[1..]);
    no_grad(|| net.forward(&vocabulary.one_hot(inputs)).cross_entropy(&labels.to_vec().into()).item())
}
