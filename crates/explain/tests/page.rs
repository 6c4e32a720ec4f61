//! The page: its data are the engine's numbers, and it needs nothing else.

use base64::Engine;
use chainrule_autograd::{Var, Var64};
use chainrule_explain::explain;
use chainrule_tensor::{Conv2dOptions, Key, Pool2dOptions, Purpose, Tensor, TensorOf};
use serde_json::Value;

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).expect("the page has data");
    serde_json::from_str(rest.split_once("</script>").expect("the data end").0).expect("the data are JSON")
}

/// An array of `f32` numbers, however it is stored.
fn decode(array: &Value) -> Vec<f32> {
    if let Some(list) = array.as_array() {
        return list.iter().map(|x| x.as_f64().unwrap() as f32).collect();
    }
    assert_eq!(array["kind"], "f32");
    let bytes = base64::engine::general_purpose::STANDARD.decode(array["base64"].as_str().unwrap()).unwrap();
    bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
}

/// A net that is too large for all of its local derivatives.
fn large() -> (Var, Var) {
    let random = |stream, shape: &[usize]| -> Tensor {
        TensorOf::random_normal(Key::new(3, Purpose::USER).at_step(stream), shape)
    };
    let x = Var::parameter("x", random(0, &[1, 1, 24, 24]));
    let w = Var::parameter("w", random(1, &[6, 1, 3, 3]));
    let options = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
    let y = x.conv2d(&w, None, options).named("y").relu().named("h").max_pool2d(Pool2dOptions::from(2)).named("p");
    (w, y.square().sum().named("L"))
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_engine() {
    let (w, loss) = large();
    let explanation = explain(&loss);
    let found = data(&explanation.page("net").to_html());
    let gradients = loss.backward();
    for (variable, of) in explanation.variables().iter().zip(found["variables"].as_array().unwrap()) {
        assert_eq!(of["name"], variable.name.as_str());
        let values = decode(&of["value"]);
        assert_eq!(values.len(), variable.value.count);
        if variable.name == "w" {
            assert_eq!(values, w.value().to_vec());
            assert_eq!(decode(&of["gradient"]), gradients[&w].to_vec());
        }
    }
}

#[test]
fn a_large_page_explains_an_element_of_each_parameter_up_to_the_loss() {
    let (_, loss) = large();
    let explanation = explain(&loss);
    let found = data(&explanation.page("net").to_html());
    assert!(found["locals"].is_null(), "there are too many local derivatives");
    let elements = found["elements"].as_object().unwrap();
    let numbers: Vec<(Vec<f32>, Vec<f32>)> = found["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (decode(&of["value"]), if of["gradient"].is_null() { Vec::new() } else { decode(&of["gradient"]) }))
        .collect();
    let at = |value: &Value| value.as_u64().unwrap() as usize;
    for (key, element) in elements {
        let (variable, flat) = key.split_once(':').unwrap();
        let (variable, flat): (usize, usize) = (variable.parse().unwrap(), flat.parse().unwrap());
        let terms = element["terms"].as_array().unwrap().iter().map(|term| {
            let output = at(&found["steps"][at(&term[0])]["output"]);
            let dy = numbers[output].1[at(&term[2])];
            assert_eq!(term[3].as_f64().map(|x| x as f32), Some(dy));
            f64::from(dy) * term[4].as_f64().unwrap()
        });
        let terms: Vec<f64> = terms.collect();
        let sum = terms.iter().sum::<f64>() + element["rest"]["sum"].as_f64().unwrap();
        let magnitude = terms.iter().map(|x| x.abs()).sum::<f64>() + element["rest"]["magnitude"].as_f64().unwrap();
        let gradient = f64::from(numbers[variable].1[flat]);
        assert_eq!(element["gradient"].as_f64().map(|x| x as f32), Some(gradient as f32));
        assert!((sum - gradient).abs() <= 8.0 * f64::from(f32::EPSILON) * magnitude, "{key}: {sum}, not {gradient}");
    }
    for name in ["w", "x"] {
        let mut variable = explanation.find(name).unwrap();
        let mut flat: usize = {
            let prefix = format!("{variable}:");
            elements
                .keys()
                .find_map(|key| key.strip_prefix(&prefix))
                .expect("an element of each parameter")
                .parse()
                .unwrap()
        };
        let mut levels = 0;
        while variable + 1 < numbers.len() {
            let term = &elements[&format!("{variable}:{flat}")]["terms"][0];
            variable = at(&found["steps"][at(&term[0])]["output"]);
            flat = at(&term[2]);
            levels += 1;
        }
        assert_eq!(levels, 5, "y, h, p, square, L");
    }
}

#[test]
fn of_a_very_large_tensor_the_page_has_statistics_and_single_elements() {
    let w = Var::parameter("w", Tensor::from_fn([400, 400], |i| (i % 7) as f32 - 3.0));
    let x = Var::constant(Tensor::from_fn([1, 400], |i| (i % 5) as f32)).named("x");
    let loss = x.linear(&w, None).named("y").square().sum().named("L");
    let page = explain(&loss).page("large").to_html();
    assert!(page.len() < 200_000, "{} bytes", page.len());
    let found = data(&page);
    assert!(found["variables"][1]["value"].is_null() && found["variables"][1]["gradient"].is_null());
    let largest = loss.backward()[&w].to_vec().into_iter().fold(0.0f32, |a, b| if b.abs() > a.abs() { b } else { a });
    assert_eq!(found["variables"][1]["gradient_numbers"]["max"].as_f64().unwrap() as f32, largest.abs());
    let elements = found["elements"].as_object().unwrap();
    let of_w: Vec<&Value> =
        elements.iter().filter(|(key, _)| key.starts_with("1:")).map(|(_, element)| element).collect();
    assert_eq!(of_w.len(), 1);
    assert_eq!(of_w[0]["gradient"].as_f64().unwrap() as f32, largest);
    let [dy, local] = [3, 4].map(|i| of_w[0]["terms"][0][i].as_f64().unwrap());
    assert_eq!((dy * local) as f32, largest, "one term, dy · x");
}

#[test]
fn a_small_page_has_all_local_derivatives() {
    let (a, b) = (Var64::parameter("a", [2.0, 3.0]), Var64::parameter("b", [5.0, 7.0]));
    let found = data(&explain(&(&a * &b).sum()).page("dot").to_html());
    assert_eq!(found["steps"][1]["op"], "mul");
    let mul = &found["locals"][1];
    assert_eq!(
        mul[0],
        serde_json::json!({"i": [0.0, 1.0], "j": [0.0, 1.0], "d": [5.0, 7.0], "other": 1, "source": [1.0, 2.0]})
    );
    assert_eq!(mul[1]["d"], serde_json::json!([2.0, 3.0]));
}

#[test]
fn no_name_can_end_the_data_or_the_title() {
    let w = Var64::parameter("</script><script>alert(1)</script>", 2.0);
    let page = explain(&w.square()).page("<b>A & B</b>").text("</script>").to_html();
    assert!(!page.contains("alert(1)</script>") && !page.contains("<b>A"), "{page}");
    assert_eq!(data(&page)["variables"][0]["name"], "</script><script>alert(1)</script>");
    assert_eq!(data(&page)["title"], "<b>A & B</b>");
}

#[test]
fn saturated_and_dead_units_are_marked() {
    let x = Var64::parameter("x", [-3.0, 0.1, 4.0]);
    let marks = |loss: &Var64| -> Vec<Value> {
        let found = data(&explain(loss).page("marks").to_html());
        found["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["mark"].clone())
            .filter(|mark| !mark.is_null())
            .collect()
    };
    assert_eq!(marks(&x.relu().sum()), ["dead: 1 of 3 units, such as [0], where the factor 0 makes the product 0"]);
    assert_eq!(
        marks(&x.sigmoid().sum()),
        ["saturated: 1 of 3 units, such as [2], where the factor 0.0176627, of at most 0.25, makes the product small"]
    );
    assert!(marks(&x.exp().sum()).is_empty());
}
